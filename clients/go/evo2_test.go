package primase_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	evo2v1 "primase.dev/go/evo2/v1"
	typev1 "primase.dev/go/type/v1"
)

func rowsOf(rowOffset int64, numbers []float32, shape ...int64) *typev1.TensorSlice {
	return &typev1.TensorSlice{Shape: shape, RowOffset: rowOffset, Data: float32Bytes(numbers...)}
}

func forwardItems() []*evo2v1.ForwardItem {
	return []*evo2v1.ForwardItem{{Id: "phix", Sequence: "GAG"}}
}

func TestLayersAreInTheOrderOfTheirSlices(t *testing.T) {
	message := func(rows *evo2v1.ForwardRows) *evo2v1.StreamForwardResponse {
		return &evo2v1.StreamForwardResponse{Id: "phix", Event: &evo2v1.StreamForwardResponse_Rows{Rows: rows}}
	}
	client := connect(t, serve(t, evo2{forward: saying[evo2v1.StreamForwardRequest](
		message(&evo2v1.ForwardRows{Slices: []*evo2v1.LayerSlice{
			{Layer: "unembed", Slice: rowsOf(0, []float32{1}, 2, 1)},
			{Layer: "blocks.3", Slice: rowsOf(0, []float32{5, 6}, 2, 1)},
		}}),
		message(&evo2v1.ForwardRows{NumOtherCharacters: 7, Last: true, Slices: []*evo2v1.LayerSlice{
			{Layer: "unembed", Slice: rowsOf(1, []float32{2}, 2, 1)},
		}}),
	)}))
	request := &evo2v1.StreamForwardRequest{Items: forwardItems()}
	item := only(t, client.Evo2.Forwards(t.Context(), request))
	same(t, item.Value, &evo2v1.ForwardResult{Id: "phix", NumOtherCharacters: 7, Layers: []*evo2v1.LayerValues{
		{Layer: "unembed", Values: tensor([]float32{1, 2}, 2, 1)},
		{Layer: "blocks.3", Values: tensor([]float32{5, 6}, 2, 1)},
	}})
}

func scoreRows(rows *evo2v1.SequenceScoreRows) *evo2v1.StreamScoreSequencesResponse {
	return &evo2v1.StreamScoreSequencesResponse{Event: &evo2v1.StreamScoreSequencesResponse_Rows{Rows: rows}}
}

func score(score *evo2v1.SequenceScore) *evo2v1.StreamScoreSequencesResponse {
	return &evo2v1.StreamScoreSequencesResponse{Event: &evo2v1.StreamScoreSequencesResponse_Score{Score: score}}
}

func TestAScoreHasItsValuesPerBase(t *testing.T) {
	ids := &typev1.TensorSlice{DataType: typev1.DataType_DATA_TYPE_INT32, Shape: []int64{1, 2}, Data: make([]byte, 8)}
	client := connect(t, serve(t, evo2{score: saying[evo2v1.StreamScoreSequencesRequest](
		scoreRows(&evo2v1.SequenceScoreRows{PerBase: rowsOf(0, []float32{-1}, 2), Entropy: rowsOf(0, []float32{3, 4}, 2)}),
		scoreRows(&evo2v1.SequenceScoreRows{PerBase: rowsOf(1, []float32{-2}, 2), AlternativeIds: ids}),
		score(&evo2v1.SequenceScore{SumLogLikelihood: -3, NumScoredBases: 2}),
	)}))
	request := &evo2v1.StreamScoreSequencesRequest{Items: forwardItems()}
	item := only(t, client.Evo2.SequenceScores(t.Context(), request))
	same(t, item.Value, &evo2v1.SequenceScore{
		SumLogLikelihood: -3,
		NumScoredBases:   2,
		PerBase:          tensor([]float32{-1, -2}, 2),
		Entropy:          tensor([]float32{3, 4}, 2),
		AlternativeIds: &typev1.Tensor{
			DataType: typev1.DataType_DATA_TYPE_INT32, Shape: []int64{1, 2}, Data: make([]byte, 8),
		},
	})
}

func TestAScoreWithoutAllItsRows(t *testing.T) {
	client := connect(t, serve(t, evo2{score: saying[evo2v1.StreamScoreSequencesRequest](
		scoreRows(&evo2v1.SequenceScoreRows{PerBase: rowsOf(0, []float32{-1}, 2)}),
		score(&evo2v1.SequenceScore{}),
	)}))
	request := &evo2v1.StreamScoreSequencesRequest{Items: forwardItems()}
	isBroken(t, client.Evo2.SequenceScores(t.Context(), request))
}

func variantScores(indices ...int64) *evo2v1.StreamScoreVariantsResponse {
	scores := &evo2v1.VariantScores{Recipe: "window 8", Last: len(indices) == 1}
	for _, index := range indices {
		scores.Scores = append(scores.Scores, &evo2v1.VariantScore{VariantIndex: index})
	}
	return &evo2v1.StreamScoreVariantsResponse{Event: &evo2v1.StreamScoreVariantsResponse_Scores{Scores: scores}}
}

func TestScoresOfVariantsOfDNA(t *testing.T) {
	request := &evo2v1.StreamScoreVariantsRequest{Items: []*evo2v1.VariantsItem{{Reference: "GAG"}}}
	client := connect(t, serve(t, evo2{variants: saying[evo2v1.StreamScoreVariantsRequest](
		variantScores(0, 1), variantScores(2),
	)}))
	item := only(t, client.Evo2.VariantScores(t.Context(), request))
	equal(t, len(item.Value.GetScores()), 3)
	equal(t, item.Value.GetRecipe(), "window 8")
	client = connect(t, serve(t, evo2{variants: saying[evo2v1.StreamScoreVariantsRequest](
		variantScores(0, 2), variantScores(1),
	)}))
	isBroken(t, client.Evo2.VariantScores(t.Context(), request))
}

func TestAScanIsJoined(t *testing.T) {
	message := func(rows *evo2v1.ScanRows) *evo2v1.StreamScanVariantsResponse {
		return &evo2v1.StreamScanVariantsResponse{Event: &evo2v1.StreamScanVariantsResponse_Rows{Rows: rows}}
	}
	client := connect(t, serve(t, evo2{scan: saying[evo2v1.StreamScanVariantsRequest](
		message(&evo2v1.ScanRows{Deltas: rowsOf(0, []float32{0, 1, 2, 3}, 2, 4), MeanDelta: rowsOf(0, []float32{2, 2}, 2), Recipe: "exact"}),
		message(&evo2v1.ScanRows{Deltas: rowsOf(1, []float32{4, 5, 6, 7}, 2, 4), MinDelta: rowsOf(0, []float32{1, 4}, 2), Last: true}),
	)}))
	request := &evo2v1.StreamScanVariantsRequest{Items: []*evo2v1.ScanItem{{Reference: "GA", End: proto.Int64(2)}}}
	item := only(t, client.Evo2.Scans(t.Context(), request))
	for _, slice := range []*typev1.TensorSlice{item.Value.Deltas, item.Value.MeanDelta, item.Value.MinDelta} {
		slice.DataType = typev1.DataType_DATA_TYPE_UNSPECIFIED
	}
	same(t, item.Value, &evo2v1.ScanRows{
		Deltas:    rowsOf(0, []float32{0, 1, 2, 3, 4, 5, 6, 7}, 2, 4),
		MeanDelta: rowsOf(0, []float32{2, 2}, 2),
		MinDelta:  rowsOf(0, []float32{1, 4}, 2),
		Recipe:    "exact",
		Last:      true,
	})
}
