package primase_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	primase "primase.dev/go"
	errorsv1 "primase.dev/go/errors/v1"
	esm2v1 "primase.dev/go/esm2/v1"
	typev1 "primase.dev/go/type/v1"
)

type (
	encodeRequest = esm2v1.StreamEncodeRequest
	encodeMessage = esm2v1.StreamEncodeResponse
	encodeStream  = grpc.ServerStreamingServer[encodeMessage]
)

func encodeItems(num int) *encodeRequest {
	request := &encodeRequest{Model: "m"}
	for range num {
		request.Items = append(request.Items, &esm2v1.EncodeItem{Id: "x", Sequence: "MKTV"})
	}
	return request
}

func encodingRows(item int32, last bool, pieces ...*esm2v1.EncodingSlice) *encodeMessage {
	rows := &esm2v1.EncodingRows{Slices: pieces, NumResidues: 4, Last: last}
	return &encodeMessage{ItemIndex: item, Id: "x", Event: &esm2v1.StreamEncodeResponse_Rows{Rows: rows}}
}

func encodingFailed(item int32, sent *statuspb.Status) *encodeMessage {
	return &encodeMessage{ItemIndex: item, Id: "x", Event: &esm2v1.StreamEncodeResponse_Failed{Failed: sent}}
}

func piece(kind esm2v1.Include, layer, head int32, rowOffset int64, numbers []float32, shape ...int64) *esm2v1.EncodingSlice {
	return &esm2v1.EncodingSlice{Kind: kind, Layer: layer, Head: head, Slice: &typev1.TensorSlice{
		Shape: shape, RowOffset: rowOffset, Data: float32Bytes(numbers...),
	}}
}

func tensor(numbers []float32, shape ...int64) *typev1.Tensor {
	return &typev1.Tensor{
		DataType: typev1.DataType_DATA_TYPE_FLOAT32, Shape: shape, Data: float32Bytes(numbers...),
	}
}

// encodings reads all items, and the error that ended the call.
func encodings(ctx context.Context, client *primase.Client, request *encodeRequest) ([]primase.Item[*esm2v1.Encoding], error) {
	var items []primase.Item[*esm2v1.Encoding]
	for item, err := range client.Esm2.Encodings(ctx, request) {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

func TestAnEncodingIsAsTheUnaryCallGivesIt(t *testing.T) {
	const (
		mean, perToken, bos = esm2v1.Include_INCLUDE_MEAN, esm2v1.Include_INCLUDE_PER_TOKEN, esm2v1.Include_INCLUDE_BOS
		contacts, logits    = esm2v1.Include_INCLUDE_CONTACTS, esm2v1.Include_INCLUDE_LOGITS
		attentions, maps    = esm2v1.Include_INCLUDE_ATTENTIONS, esm2v1.Include_INCLUDE_ATTENTION_MAPS
	)
	client := connect(t, serve(t, esm2{encode: saying[encodeRequest](
		encodingRows(0, false, piece(perToken, 6, 0, 0, []float32{1, 2}, 2, 2), piece(mean, 2, 0, 0, []float32{5}, 1)),
		encodingRows(0, false, piece(perToken, 6, 0, 1, []float32{3, 4}, 2, 2), piece(bos, 6, 0, 0, []float32{6}, 1)),
		encodingRows(0, false, piece(maps, 3, 1, 0, []float32{7}, 1, 1), piece(maps, 2, 9, 0, []float32{8}, 1, 1)),
		encodingRows(0, false, piece(contacts, 0, 0, 0, []float32{9}, 1, 1), piece(logits, 0, 0, 0, []float32{10}, 1, 1)),
		// What is newer than this client is left out.
		encodingRows(0, false, piece(99, 0, 0, 0, []float32{12}, 1, 1)),
		&encodeMessage{},
		encodingRows(0, true, piece(attentions, 0, 0, 0, []float32{11}, 1, 1)),
	)}))
	items, err := encodings(t.Context(), client, encodeItems(1))
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	equal(t, items[0].ID, "x")
	same(t, items[0].Value, &esm2v1.Encoding{
		Id:          "x",
		NumResidues: 4,
		Layers: []*esm2v1.LayerEncoding{
			{Layer: 2, Mean: tensor([]float32{5}, 1)},
			{Layer: 6, Bos: tensor([]float32{6}, 1), PerToken: tensor([]float32{1, 2, 3, 4}, 2, 2)},
		},
		Contacts:   tensor([]float32{9}, 1, 1),
		Logits:     tensor([]float32{10}, 1, 1),
		Attentions: tensor([]float32{11}, 1, 1),
		AttentionMaps: []*esm2v1.AttentionMap{
			{AttentionHead: &esm2v1.AttentionHead{Layer: 3, Head: 1}, Values: tensor([]float32{7}, 1, 1)},
			{AttentionHead: &esm2v1.AttentionHead{Layer: 2, Head: 9}, Values: tensor([]float32{8}, 1, 1)},
		},
	})
}

func TestABadItemFailsAlone(t *testing.T) {
	bad := statusWith(t, &statuspb.Status{Code: int32(codes.InvalidArgument), Message: "bad"},
		&errdetails.ErrorInfo{Domain: "primase", Reason: "INVALID_SEQUENCE"})
	mean := piece(esm2v1.Include_INCLUDE_MEAN, 6, 0, 0, []float32{5}, 1)
	client := connect(t, serve(t, esm2{encode: saying[encodeRequest](
		encodingRows(0, true, mean),
		// What came of it before it failed is not in the next.
		encodingRows(1, false, mean),
		encodingFailed(1, bad),
		encodingRows(2, true, mean),
	)}))
	items, err := encodings(t.Context(), client, encodeItems(3))
	if err != nil || len(items) != 3 {
		t.Fatal(items, err)
	}
	for i, item := range items {
		equal(t, item.Index, i)
		equal(t, item.Err != nil, i == 1)
	}
	equal(t, failureOf(t, items[1].Err).Reason, errorsv1.ErrorReason_ERROR_REASON_INVALID_SEQUENCE)
	same(t, items[2].Value.GetLayers()[0].GetMean(), tensor([]float32{5}, 1))
}

func TestAnAnswerOf32MiBComesThroughADefaultChannel(t *testing.T) {
	const width, numRows, rowsPerSlice = 2048, 4096, 64
	row := make([]float32, width*rowsPerSlice)
	client := connect(t, serve(t, esm2{encode: func(_ *encodeRequest, stream encodeStream) error {
		for first := 0; first < numRows; first += rowsPerSlice {
			for i := range row {
				row[i] = float32(first + i/width)
			}
			rows := piece(esm2v1.Include_INCLUDE_PER_TOKEN, 6, 0, int64(first), row, numRows, width)
			if err := stream.Send(encodingRows(0, first+rowsPerSlice == numRows, rows)); err != nil {
				return err
			}
		}
		return nil
	}}))
	items, err := encodings(t.Context(), client, encodeItems(1))
	if err != nil {
		t.Fatal(err)
	}
	array, err := primase.Floats(items[0].Value.GetLayers()[0].GetPerToken())
	if err != nil || !slices.Equal(array.Shape, []int{numRows, width}) {
		t.Fatal(array.Shape, err)
	}
	for i := range numRows {
		if got := array.Row(i); got[0] != float32(i) || got[width-1] != float32(i) {
			t.Fatalf("row %d begins with %v", i, got[0])
		}
	}
}

func TestLeavingTheLoopCancelsTheCall(t *testing.T) {
	ended := make(chan error, 1)
	client := connect(t, serve(t, esm2{encode: func(_ *encodeRequest, stream encodeStream) error {
		if err := stream.Send(encodingRows(0, true)); err != nil {
			return err
		}
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return nil
	}}))
	for item, err := range client.Esm2.Encodings(t.Context(), encodeItems(2)) {
		equal(t, item.Index, 0)
		equal(t, err, nil)
		break
	}
	equal(t, <-ended, context.Canceled)
}

func TestCancellingTheContextEndsTheLoop(t *testing.T) {
	client := connect(t, serve(t, esm2{encode: func(_ *encodeRequest, stream encodeStream) error {
		if err := stream.Send(encodingRows(0, true)); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	numItems := 0
	var failure error
	for _, err := range client.Esm2.Encodings(ctx, encodeItems(2)) {
		if failure = err; err == nil {
			numItems++
			cancel()
		}
	}
	equal(t, numItems, 1)
	equal(t, failureOf(t, failure).Code, codes.Canceled)
	if !errors.Is(failure, context.Canceled) {
		t.Errorf("got %v", failure)
	}
}

func TestAFailureEndsTheLoopAfterWhatCameBefore(t *testing.T) {
	fault := errorOf(&statuspb.Status{Code: int32(codes.Internal), Message: "fault"})
	client := connect(t, serve(t, esm2{encode: func(_ *encodeRequest, stream encodeStream) error {
		return errors.Join(stream.Send(encodingRows(0, true)), fault)
	}}))
	items, err := encodings(t.Context(), client, encodeItems(2))
	equal(t, len(items), 1)
	equal(t, failureOf(t, err).Code, codes.Internal)
}

func TestAnswersThatBreakTheContract(t *testing.T) {
	mean := piece(esm2v1.Include_INCLUDE_MEAN, 6, 0, 0, []float32{5}, 2)
	for name, messages := range map[string][]*encodeMessage{
		"item missing":      {encodingRows(0, true)},
		"item out of order": {encodingRows(1, true), encodingRows(0, true)},
		"item again":        {encodingRows(0, true), encodingRows(0, true)},
		"item too many":     {encodingRows(0, true), encodingRows(1, true), encodingRows(2, true)},
		"item unfinished":   {encodingRows(0, true), encodingRows(1, false)},
		"rows missing":      {encodingRows(0, true, mean)},
		"rows again":        {encodingRows(0, false, mean, mean)},
		"unknown data type": {encodingRows(0, true, &esm2v1.EncodingSlice{Slice: &typev1.TensorSlice{DataType: 99, Shape: []int64{1}}})},
	} {
		client := connect(t, serve(t, esm2{encode: saying[encodeRequest](messages...)}))
		if _, err := encodings(t.Context(), client, encodeItems(2)); !errors.Is(err, primase.ErrBrokenAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScoresOfProteins(t *testing.T) {
	score := &esm2v1.SequenceScore{Mode: 99, SumLogLikelihood: -2, PerResidue: tensor([]float32{-1, -1}, 2)}
	client := connect(t, serve(t, esm2{score: saying[esm2v1.StreamScoreSequencesRequest](
		&esm2v1.StreamScoreSequencesResponse{Event: &esm2v1.StreamScoreSequencesResponse_Score{Score: score}},
	)}))
	request := &esm2v1.StreamScoreSequencesRequest{Items: encodeItems(1).Items}
	item := only(t, client.Esm2.SequenceScores(t.Context(), request))
	// A mode that is newer than this client is kept as its number.
	same(t, item.Value, score)
}

func TestScoresOfVariantsAreJoined(t *testing.T) {
	scores := func(rows *esm2v1.VariantScores) *esm2v1.StreamScoreVariantsResponse {
		return &esm2v1.StreamScoreVariantsResponse{Event: &esm2v1.StreamScoreVariantsResponse_Scores{Scores: rows}}
	}
	a, b := &esm2v1.VariantScore{Variant: "M1A", Score: -1}, &esm2v1.VariantScore{Variant: "M1C", Score: 1}
	scan := piece(0, 0, 0, 0, []float32{1, 2}, 2, 2).Slice
	rest := piece(0, 0, 0, 1, []float32{3, 4}, 2, 2).Slice
	client := connect(t, serve(t, esm2{variants: saying[esm2v1.StreamScoreVariantsRequest](
		scores(&esm2v1.VariantScores{Scores: []*esm2v1.VariantScore{a}, Scan: scan, ScanResidues: "AC"}),
		scores(&esm2v1.VariantScores{Scores: []*esm2v1.VariantScore{b}, Scan: rest, Last: true, Method: 2}),
	)}))
	request := &esm2v1.StreamScoreVariantsRequest{Items: []*esm2v1.VariantsItem{{Sequence: "MK"}}}
	item := only(t, client.Esm2.VariantScores(t.Context(), request))
	equal(t, len(item.Value.GetScores()), 2)
	equal(t, item.Value.GetScores()[1].GetVariant(), "M1C")
	equal(t, item.Value.GetMethod(), esm2v1.VariantMethod_VARIANT_METHOD_MASKED_MARGINAL)
	equal(t, item.Value.GetScanResidues(), "AC")
	if !bytes.Equal(item.Value.GetScan().GetData(), float32Bytes(1, 2, 3, 4)) {
		t.Errorf("got %v", item.Value.GetScan())
	}
	array, err := primase.Floats(item.Value.GetScan())
	if err != nil || !slices.Equal(array.Row(1), []float32{3, 4}) {
		t.Errorf("got %v, %v", array, err)
	}
}
