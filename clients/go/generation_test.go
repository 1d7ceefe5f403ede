package primase_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	primase "primase.dev/go"
	evo2v1 "primase.dev/go/evo2/v1"
	progen2v1 "primase.dev/go/progen2/v1"
	typev1 "primase.dev/go/type/v1"
)

type (
	generateRequest = evo2v1.StreamGenerateRequest
	generateMessage = evo2v1.StreamGenerateResponse
)

func prompts(numItems int, numSamples int32) *generateRequest {
	request := &generateRequest{Options: &evo2v1.GenerateOptions{NumSamples: proto.Int32(numSamples)}}
	for i := range numItems {
		id := string(rune('a' + i))
		request.Items = append(request.Items, &evo2v1.GenerateItem{Id: id, Prompt: "GAG"})
	}
	return request
}

// place is where an event belongs: item, sample, number.
type place [3]int

func (p place) message() *generateMessage {
	return &generateMessage{ItemIndex: int32(p[0]), SampleIndex: int32(p[1]), SequenceNumber: int64(p[2])}
}

func started(p place) *generateMessage {
	message := p.message()
	message.Event = &evo2v1.StreamGenerateResponse_Started{Started: &typev1.GenerationStarted{Seed: 7}}
	return message
}

func tokens(p place, text string) *generateMessage {
	message, made := p.message(), &typev1.GeneratedTokens{Text: text, ResumeToken: "r"}
	for _, letter := range []byte(text) {
		made.TokenIds = append(made.TokenIds, uint32(letter))
		made.LogProbs = append(made.LogProbs, -float32(letter))
	}
	made.Logits = tensor(made.LogProbs, int64(len(text)), 1)
	message.Event = &evo2v1.StreamGenerateResponse_Tokens{Tokens: made}
	return message
}

func finished(p place) *generateMessage {
	message := p.message()
	end := &typev1.GenerationFinished{Reason: typev1.FinishReason_FINISH_REASON_LENGTH}
	message.Event = &evo2v1.StreamGenerateResponse_Finished{Finished: end}
	return message
}

func failed(p place) *generateMessage {
	message := p.message()
	sent := &statuspb.Status{Code: int32(codes.InvalidArgument), Message: "bad"}
	message.Event = &evo2v1.StreamGenerateResponse_Failed{Failed: sent}
	return message
}

func heartbeat(p place) *generateMessage {
	message := p.message()
	beat := &typev1.GenerationHeartbeat{QueuePosition: 3}
	message.Event = &evo2v1.StreamGenerateResponse_Heartbeat{Heartbeat: beat}
	return message
}

func TestEventsComeAsTheyAreSent(t *testing.T) {
	sent := []*generateMessage{
		heartbeat(place{0, 0, 0}), started(place{0, 0, 1}), started(place{0, 1, 0}), tokens(place{0, 1, 1}, "AC"),
		finished(place{0, 1, 2}), tokens(place{0, 0, 2}, "G"), finished(place{0, 0, 3}),
	}
	client := connect(t, serve(t, evo2{generate: saying[generateRequest](sent...)}))
	events := client.Evo2.Events(t.Context(), prompts(1, 2))
	for range 2 { // each loop is a call of its own
		i := 0
		for event, err := range events {
			if err != nil {
				t.Fatal(err)
			}
			same(t, event, sent[i])
			i++
		}
		equal(t, i, len(sent))
	}
}

func TestSamplesAreWholeAndInOrder(t *testing.T) {
	client := connect(t, serve(t, evo2{generate: saying[generateRequest](
		started(place{0, 0, 0}), tokens(place{0, 0, 1}, "A"), failed(place{1, 0, 0}), failed(place{1, 1, 0}),
		started(place{0, 1, 0}), tokens(place{0, 1, 1}, "TT"), finished(place{0, 1, 2}),
		tokens(place{0, 0, 2}, "CG"), heartbeat(place{0, 0, 3}), finished(place{0, 0, 4}),
	)}))
	var samples []primase.Item[*evo2v1.Sample]
	for sample, err := range client.Evo2.Samples(t.Context(), prompts(2, 2)) {
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, sample)
	}
	equal(t, len(samples), 4)
	for i, sample := range samples {
		equal(t, [2]int{sample.Index, sample.Sample}, [2]int{i / 2, i % 2})
		equal(t, sample.ID, string(rune('a'+i/2)))
		equal(t, sample.Err != nil, i >= 2)
	}
	logProbs := []float32{-'A', -'C', -'G'}
	same(t, samples[0].Value, &evo2v1.Sample{
		Id:      "a",
		Started: &typev1.GenerationStarted{Seed: 7},
		Tokens: &typev1.GeneratedTokens{
			Text: "ACG", TokenIds: []uint32{'A', 'C', 'G'}, LogProbs: logProbs, Logits: tensor(logProbs, 3, 1),
		},
		Finished: &typev1.GenerationFinished{Reason: typev1.FinishReason_FINISH_REASON_LENGTH},
	})
	equal(t, samples[1].Value.GetTokens().GetText(), "TT")
	equal(t, failureOf(t, samples[3].Err).Code, codes.InvalidArgument)
}

func TestStreamsThatBreakTheirRules(t *testing.T) {
	start := started(place{0, 0, 0})
	short := tokens(place{0, 0, 1}, "AC")
	short.GetTokens().LogProbs = short.GetTokens().LogProbs[:1]
	narrow := tokens(place{0, 0, 1}, "AC")
	narrow.GetTokens().Logits = tensor([]float32{1}, 1, 1)
	for name, messages := range map[string][]*generateMessage{
		"nothing":             {},
		"no end":              {start, tokens(place{0, 0, 1}, "A")},
		"an event is missing": {start, finished(place{0, 0, 2})},
		"an event twice":      {start, start},
		"two starts":          {start, started(place{0, 0, 1})},
		"no start":            {tokens(place{0, 0, 0}, "A")},
		"an end at once":      {finished(place{0, 0, 0})},
		"more after the end":  {start, finished(place{0, 0, 1}), heartbeat(place{0, 0, 2})},
		"an unknown item":     {started(place{1, 0, 0})},
		"an unknown sample":   {started(place{0, 1, 0})},
		"a negative sample":   {started(place{0, -1, 0})},
		"a number too few":    {start, short, finished(place{0, 0, 2})},
		"a row too few":       {start, narrow, finished(place{0, 0, 2})},
	} {
		client := connect(t, serve(t, evo2{generate: saying[generateRequest](messages...)}))
		var failure error
		for _, err := range client.Evo2.Samples(t.Context(), prompts(1, 0)) {
			failure = err
		}
		if !errors.Is(failure, primase.ErrBrokenAnswer) {
			t.Errorf("%s: %v", name, failure)
		}
	}
}

func TestLeavingAGenerationCancelsIt(t *testing.T) {
	ended := make(chan error, 1)
	client := connect(t, serve(t, evo2{generate: func(_ *generateRequest, stream grpc.ServerStreamingServer[generateMessage]) error {
		if err := stream.Send(started(place{0, 0, 0})); err != nil {
			return err
		}
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return nil
	}}))
	for range client.Evo2.Events(t.Context(), prompts(1, 1)) {
		break
	}
	equal(t, <-ended, context.Canceled)
}

func TestAStreamThatBreaksHasToldHowToGoOn(t *testing.T) {
	lost := errorOf(&statuspb.Status{Code: int32(codes.Unavailable), Message: "lost"})
	client := connect(t, serve(t, evo2{generate: func(_ *generateRequest, stream grpc.ServerStreamingServer[generateMessage]) error {
		return errors.Join(stream.Send(started(place{0, 0, 0})), stream.Send(tokens(place{0, 0, 1}, "AC")), lost)
	}}))
	text, token := "", ""
	var failure error
	for event, err := range client.Evo2.Events(t.Context(), prompts(1, 1)) {
		failure = err
		if made := event.GetTokens(); made != nil {
			text, token = text+made.GetText(), made.GetResumeToken()
		}
	}
	equal(t, failureOf(t, failure).Code, codes.Unavailable)
	equal(t, text, "AC")
	equal(t, token, "r")
}

func TestProteinsAreGeneratedAlike(t *testing.T) {
	outcome := &progen2v1.SampleFinished{Sequence: "MKTV", Terminal: progen2v1.Terminal_TERMINAL_C}
	sent := []*progen2v1.StreamGenerateResponse{
		{Event: &progen2v1.StreamGenerateResponse_Started{Started: &typev1.GenerationStarted{Seed: 7}}},
		{SequenceNumber: 1, Event: &progen2v1.StreamGenerateResponse_Tokens{
			Tokens: &typev1.GeneratedTokens{Text: "T", TokenIds: []uint32{23}}}},
		{SequenceNumber: 2, Event: &progen2v1.StreamGenerateResponse_Tokens{
			Tokens: &typev1.GeneratedTokens{Text: "V", TokenIds: []uint32{25}}}},
		{SequenceNumber: 3, Event: &progen2v1.StreamGenerateResponse_Finished{Finished: outcome}},
	}
	client := connect(t, serve(t, progen2{generate: saying[progen2v1.StreamGenerateRequest](sent...)}))
	request := &progen2v1.StreamGenerateRequest{Items: []*progen2v1.GenerateItem{{Id: "vh", Context: "MK"}}}
	numEvents := 0
	for event, err := range client.ProGen2.Events(t.Context(), request) {
		if err != nil {
			t.Fatal(err)
		}
		same(t, event, sent[numEvents])
		numEvents++
	}
	equal(t, numEvents, 4)
	item := only(t, client.ProGen2.Samples(t.Context(), request))
	equal(t, item.ID, "vh")
	same(t, item.Value, &progen2v1.Sample{
		Id:       "vh",
		Started:  &typev1.GenerationStarted{Seed: 7},
		Tokens:   &typev1.GeneratedTokens{Text: "TV", TokenIds: []uint32{23, 25}},
		Finished: outcome,
	})
}

func TestScoresOfBothDirections(t *testing.T) {
	rows := func(slice *typev1.TensorSlice) *progen2v1.StreamScoreSequencesResponse {
		part := &progen2v1.SequenceScoreRows{PerResidue: slice}
		return &progen2v1.StreamScoreSequencesResponse{Event: &progen2v1.StreamScoreSequencesResponse_Rows{Rows: part}}
	}
	end := &progen2v1.SequenceScore{Likelihood: &progen2v1.Likelihood{SumLogLikelihood: -3}}
	client := connect(t, serve(t, progen2{score: saying[progen2v1.StreamScoreSequencesRequest](
		rows(rowsOf(0, []float32{-1, -2}, 2, 2)), rows(rowsOf(1, []float32{-3, -4}, 2, 2)),
		&progen2v1.StreamScoreSequencesResponse{Event: &progen2v1.StreamScoreSequencesResponse_Score{Score: end}},
	)}))
	request := &progen2v1.StreamScoreSequencesRequest{Items: []*progen2v1.ScoreItem{{Sequence: "MK"}}}
	item := only(t, client.ProGen2.SequenceScores(t.Context(), request))
	equal(t, item.Value.GetLikelihood().GetSumLogLikelihood(), -3)
	array, err := primase.Floats(item.Value.GetPerResidue())
	if err != nil || !slices.Equal(array.Row(1), []float32{-3, -4}) {
		t.Errorf("got %v, %v", array, err)
	}
}
