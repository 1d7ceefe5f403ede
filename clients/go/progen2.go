package primase

import (
	"context"
	"iter"

	"google.golang.org/grpc"

	progen2v1 "primase.dev/go/progen2/v1"
)

// ProGen2 is the stub of the ProGen2 service, with methods that read its streams item by item.
type ProGen2 struct {
	progen2v1.ProGen2ServiceClient
}

// NewProGen2 is for connections that are not a [Client]'s.
func NewProGen2(conn grpc.ClientConnInterface) ProGen2 {
	return ProGen2{progen2v1.NewProGen2ServiceClient(conn)}
}

// SequenceScores reads StreamScoreSequences: the score of each protein with whatever was asked for
// per residue, in order of the items.
func (m ProGen2) SequenceScores(
	ctx context.Context, request *progen2v1.StreamScoreSequencesRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*progen2v1.SequenceScore], error] {
	stream := messages(ctx, m.StreamScoreSequences, request, options)
	return collected[progen2Score, *progen2v1.SequenceScore](stream, idsOf(request.GetItems()))
}

// Events reads StreamGenerate as it comes: each sample has one start, its tokens in order, and one
// end; those of several samples come among each other.
func (m ProGen2) Events(
	ctx context.Context, request *progen2v1.StreamGenerateRequest, options ...grpc.CallOption,
) iter.Seq2[*progen2v1.StreamGenerateResponse, error] {
	return ordered(messages(ctx, m.StreamGenerate, request, options), progen2Asked(request))
}

// Samples reads StreamGenerate: whole samples, in order of item, then of sample.
func (m ProGen2) Samples(
	ctx context.Context, request *progen2v1.StreamGenerateRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*progen2v1.Sample], error] {
	ids := idsOf(request.GetItems())
	begin := func(key sampleKey) *progen2v1.Sample {
		return &progen2v1.Sample{
			ItemIndex: int32(key.item), SampleIndex: int32(key.sample), Id: ids[key.item],
		}
	}
	stream := messages(ctx, m.StreamGenerate, request, options)
	return samples(stream, progen2Asked(request), begin, addToProgen2, ids)
}

func progen2Asked(request *progen2v1.StreamGenerateRequest) asked {
	return asked{len(request.GetItems()), max(1, int(request.GetOptions().GetNumSamples()))}
}

func addToProgen2(sample *progen2v1.Sample, event *progen2v1.StreamGenerateResponse) (err error) {
	if started := event.GetStarted(); started != nil {
		sample.Started = started
	}
	if tokens := event.GetTokens(); tokens != nil {
		sample.Tokens, err = joined(sample.Tokens, tokens)
	}
	sample.Finished = event.GetFinished()
	return err
}

type progen2Score struct {
	perResidue Assembler
}

func (c *progen2Score) add(message *progen2v1.StreamScoreSequencesResponse) (*progen2v1.SequenceScore, bool, error) {
	rows, score := message.GetRows(), message.GetScore()
	if rows != nil {
		return nil, false, addAll(part{&c.perResidue, rows.GetPerResidue()})
	}
	if score == nil {
		return nil, false, brokenAnswer("it holds neither a score nor an error")
	}
	perResidue, err := c.perResidue.optional()
	score.PerResidue = perResidue
	return score, true, err
}
