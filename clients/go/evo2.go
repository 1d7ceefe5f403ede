package primase

import (
	"cmp"
	"context"
	"iter"

	"google.golang.org/grpc"

	evo2v1 "primase.dev/go/evo2/v1"
)

// Evo2 is the stub of the Evo 2 service, with methods that read its streams item by item.
type Evo2 struct {
	evo2v1.Evo2ServiceClient
}

// NewEvo2 is for connections that are not a [Client]'s.
func NewEvo2(conn grpc.ClientConnInterface) Evo2 {
	return Evo2{evo2v1.NewEvo2ServiceClient(conn)}
}

// Forwards reads StreamForward: whole arrays of each sequence, of any size, in order of the items.
func (m Evo2) Forwards(
	ctx context.Context, request *evo2v1.StreamForwardRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*evo2v1.ForwardResult], error] {
	stream := messages(ctx, m.StreamForward, request, options)
	return collected[evo2Forward, *evo2v1.ForwardResult](stream, idsOf(request.GetItems()))
}

// SequenceScores reads StreamScoreSequences: the score of each sequence with whatever was asked for
// per base, in order of the items.
func (m Evo2) SequenceScores(
	ctx context.Context, request *evo2v1.StreamScoreSequencesRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*evo2v1.SequenceScore], error] {
	stream := messages(ctx, m.StreamScoreSequences, request, options)
	return collected[evo2Score, *evo2v1.SequenceScore](stream, idsOf(request.GetItems()))
}

// VariantScores reads StreamScoreVariants: all scores of each reference, in order of the items.
func (m Evo2) VariantScores(
	ctx context.Context, request *evo2v1.StreamScoreVariantsRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*evo2v1.VariantScores], error] {
	stream := messages(ctx, m.StreamScoreVariants, request, options)
	return collected[evo2Variants, *evo2v1.VariantScores](stream, idsOf(request.GetItems()))
}

// Scans reads StreamScanVariants: all rows of each region, in order of the items. Its arrays are
// slices of all rows, which [Floats] takes.
func (m Evo2) Scans(
	ctx context.Context, request *evo2v1.StreamScanVariantsRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*evo2v1.ScanRows], error] {
	stream := messages(ctx, m.StreamScanVariants, request, options)
	return collected[evo2Scan, *evo2v1.ScanRows](stream, idsOf(request.GetItems()))
}

// Events reads StreamGenerate as it comes: each sample has one start, its tokens in order, and one
// end; those of several samples come among each other.
func (m Evo2) Events(
	ctx context.Context, request *evo2v1.StreamGenerateRequest, options ...grpc.CallOption,
) iter.Seq2[*evo2v1.StreamGenerateResponse, error] {
	return ordered(messages(ctx, m.StreamGenerate, request, options), evo2Asked(request))
}

// Samples reads StreamGenerate: whole samples, in order of item, then of sample.
func (m Evo2) Samples(
	ctx context.Context, request *evo2v1.StreamGenerateRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*evo2v1.Sample], error] {
	ids := idsOf(request.GetItems())
	begin := func(key sampleKey) *evo2v1.Sample {
		return &evo2v1.Sample{
			ItemIndex: int32(key.item), SampleIndex: int32(key.sample), Id: ids[key.item],
		}
	}
	stream := messages(ctx, m.StreamGenerate, request, options)
	return samples(stream, evo2Asked(request), begin, addToEvo2, ids)
}

func evo2Asked(request *evo2v1.StreamGenerateRequest) asked {
	return asked{len(request.GetItems()), max(1, int(request.GetOptions().GetNumSamples()))}
}

func addToEvo2(sample *evo2v1.Sample, event *evo2v1.StreamGenerateResponse) (err error) {
	if started := event.GetStarted(); started != nil {
		sample.Started = started
	}
	if tokens := event.GetTokens(); tokens != nil {
		sample.Tokens, err = joined(sample.Tokens, tokens)
	}
	sample.Finished = event.GetFinished()
	return err
}

type evo2Forward struct {
	// In order of their first slices.
	layers []string
	slices map[string]*Assembler
}

func (c *evo2Forward) add(message *evo2v1.StreamForwardResponse) (*evo2v1.ForwardResult, bool, error) {
	rows := message.GetRows()
	for _, piece := range rows.GetSlices() {
		if err := c.assembler(piece.GetLayer()).Add(piece.GetSlice()); err != nil {
			return nil, false, err
		}
	}
	if !rows.GetLast() {
		return nil, false, nil
	}
	result := &evo2v1.ForwardResult{
		ItemIndex:          message.GetItemIndex(),
		Id:                 message.GetId(),
		NumOtherCharacters: rows.GetNumOtherCharacters(),
		Timings:            rows.GetTimings(),
	}
	for _, layer := range c.layers {
		values, err := c.slices[layer].Tensor()
		if err != nil {
			return nil, false, err
		}
		result.Layers = append(result.Layers, &evo2v1.LayerValues{Layer: layer, Values: values})
	}
	return result, true, nil
}

func (c *evo2Forward) assembler(layer string) *Assembler {
	if c.slices == nil {
		c.slices = map[string]*Assembler{}
	}
	if c.slices[layer] == nil {
		c.layers, c.slices[layer] = append(c.layers, layer), &Assembler{}
	}
	return c.slices[layer]
}

type evo2Score struct {
	perBase, entropy, ids, logProbs Assembler
}

func (c *evo2Score) add(message *evo2v1.StreamScoreSequencesResponse) (*evo2v1.SequenceScore, bool, error) {
	rows, score := message.GetRows(), message.GetScore()
	if rows != nil {
		err := addAll(
			part{&c.perBase, rows.GetPerBase()},
			part{&c.entropy, rows.GetEntropy()},
			part{&c.ids, rows.GetAlternativeIds()},
			part{&c.logProbs, rows.GetAlternativeLogProbs()},
		)
		return nil, false, err
	}
	if score == nil {
		return nil, false, brokenAnswer("it holds neither a score nor an error")
	}
	var failures [4]error
	score.PerBase, failures[0] = c.perBase.optional()
	score.Entropy, failures[1] = c.entropy.optional()
	score.AlternativeIds, failures[2] = c.ids.optional()
	score.AlternativeLogProbs, failures[3] = c.logProbs.optional()
	return score, true, cmp.Or(failures[:]...)
}

type evo2Variants struct {
	scores []*evo2v1.VariantScore
	recipe string
}

func (c *evo2Variants) add(message *evo2v1.StreamScoreVariantsResponse) (*evo2v1.VariantScores, bool, error) {
	part := message.GetScores()
	for _, score := range part.GetScores() {
		if score.GetVariantIndex() != int64(len(c.scores)) {
			err := brokenAnswer("it names variant %d, not %d", score.GetVariantIndex(), len(c.scores))
			return nil, false, err
		}
		c.scores = append(c.scores, score)
	}
	c.recipe = cmp.Or(part.GetRecipe(), c.recipe)
	if !part.GetLast() {
		return nil, false, nil
	}
	return &evo2v1.VariantScores{
		Scores: c.scores, Recipe: c.recipe, Last: true, Timings: part.GetTimings(),
	}, true, nil
}

type evo2Scan struct {
	deltas, mean, lowest Assembler
	recipe               string
}

func (c *evo2Scan) add(message *evo2v1.StreamScanVariantsResponse) (*evo2v1.ScanRows, bool, error) {
	rows := message.GetRows()
	err := addAll(
		part{&c.deltas, rows.GetDeltas()},
		part{&c.mean, rows.GetMeanDelta()},
		part{&c.lowest, rows.GetMinDelta()},
	)
	c.recipe = cmp.Or(rows.GetRecipe(), c.recipe)
	if err != nil || !rows.GetLast() {
		return nil, false, err
	}
	scan := &evo2v1.ScanRows{Recipe: c.recipe, Last: true, Timings: rows.GetTimings()}
	var failures [3]error
	scan.Deltas, failures[0] = c.deltas.whole()
	scan.MeanDelta, failures[1] = c.mean.whole()
	scan.MinDelta, failures[2] = c.lowest.whole()
	return scan, true, cmp.Or(failures[:]...)
}
