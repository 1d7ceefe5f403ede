package primase

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"google.golang.org/grpc"

	esm2v1 "primase.dev/go/esm2/v1"
)

// Esm2 is the stub of the ESM-2 service, with methods that read its streams item by item.
type Esm2 struct {
	esm2v1.Esm2ServiceClient
}

// NewEsm2 is for connections that are not a [Client]'s.
func NewEsm2(conn grpc.ClientConnInterface) Esm2 {
	return Esm2{esm2v1.NewEsm2ServiceClient(conn)}
}

// Encodings reads StreamEncode: whole arrays of each sequence, of any size, in order of the items.
func (m Esm2) Encodings(
	ctx context.Context, request *esm2v1.StreamEncodeRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*esm2v1.Encoding], error] {
	stream := messages(ctx, m.StreamEncode, request, options)
	return collected[esm2Encoding, *esm2v1.Encoding](stream, idsOf(request.GetItems()))
}

// SequenceScores reads StreamScoreSequences: the score of each sequence, in order of the items.
func (m Esm2) SequenceScores(
	ctx context.Context, request *esm2v1.StreamScoreSequencesRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*esm2v1.SequenceScore], error] {
	stream := messages(ctx, m.StreamScoreSequences, request, options)
	return collected[esm2Score, *esm2v1.SequenceScore](stream, idsOf(request.GetItems()))
}

// VariantScores reads StreamScoreVariants: all scores of each sequence, in order of the items. A
// scan is one slice of all rows, which [Floats] takes.
func (m Esm2) VariantScores(
	ctx context.Context, request *esm2v1.StreamScoreVariantsRequest, options ...grpc.CallOption,
) iter.Seq2[Item[*esm2v1.VariantScores], error] {
	stream := messages(ctx, m.StreamScoreVariants, request, options)
	return collected[esm2Variants, *esm2v1.VariantScores](stream, idsOf(request.GetItems()))
}

type esm2Array struct {
	kind        esm2v1.Include
	layer, head int32
}

type esm2Encoding struct {
	// In order of their first slices.
	arrays []esm2Array
	slices map[esm2Array]*Assembler
}

func (c *esm2Encoding) add(message *esm2v1.StreamEncodeResponse) (*esm2v1.Encoding, bool, error) {
	rows := message.GetRows()
	for _, piece := range rows.GetSlices() {
		if err := c.assembler(piece).Add(piece.GetSlice()); err != nil {
			return nil, false, err
		}
	}
	if !rows.GetLast() {
		return nil, false, nil
	}
	encoding := &esm2v1.Encoding{
		ItemIndex:   message.GetItemIndex(),
		Id:          message.GetId(),
		NumResidues: rows.GetNumResidues(),
		Timings:     rows.GetTimings(),
	}
	for _, array := range c.arrays {
		if err := c.put(encoding, array); err != nil {
			return nil, false, err
		}
	}
	slices.SortFunc(encoding.Layers, func(a, b *esm2v1.LayerEncoding) int { return cmp.Compare(a.Layer, b.Layer) })
	return encoding, true, nil
}

func (c *esm2Encoding) assembler(piece *esm2v1.EncodingSlice) *Assembler {
	array := esm2Array{piece.GetKind(), piece.GetLayer(), piece.GetHead()}
	if c.slices == nil {
		c.slices = map[esm2Array]*Assembler{}
	}
	if c.slices[array] == nil {
		c.arrays, c.slices[array] = append(c.arrays, array), &Assembler{}
	}
	return c.slices[array]
}

func (c *esm2Encoding) put(encoding *esm2v1.Encoding, array esm2Array) error {
	tensor, err := c.slices[array].Tensor()
	if err != nil {
		return err
	}
	switch array.kind {
	case esm2v1.Include_INCLUDE_MEAN:
		esm2Layer(encoding, array.layer).Mean = tensor
	case esm2v1.Include_INCLUDE_BOS:
		esm2Layer(encoding, array.layer).Bos = tensor
	case esm2v1.Include_INCLUDE_PER_TOKEN:
		esm2Layer(encoding, array.layer).PerToken = tensor
	case esm2v1.Include_INCLUDE_CONTACTS:
		encoding.Contacts = tensor
	case esm2v1.Include_INCLUDE_LOGITS:
		encoding.Logits = tensor
	case esm2v1.Include_INCLUDE_ATTENTIONS:
		encoding.Attentions = tensor
	case esm2v1.Include_INCLUDE_ATTENTION_MAPS:
		head := &esm2v1.AttentionHead{Layer: array.layer, Head: array.head}
		encoding.AttentionMaps = append(encoding.AttentionMaps,
			&esm2v1.AttentionMap{AttentionHead: head, Values: tensor})
	}
	// Kinds that are newer than this client are left out.
	return nil
}

func esm2Layer(encoding *esm2v1.Encoding, number int32) *esm2v1.LayerEncoding {
	for _, layer := range encoding.Layers {
		if layer.Layer == number {
			return layer
		}
	}
	layer := &esm2v1.LayerEncoding{Layer: number}
	encoding.Layers = append(encoding.Layers, layer)
	return layer
}

type esm2Score struct{}

func (*esm2Score) add(message *esm2v1.StreamScoreSequencesResponse) (*esm2v1.SequenceScore, bool, error) {
	score := message.GetScore()
	if score == nil {
		return nil, false, brokenAnswer("it holds neither a score nor an error")
	}
	return score, true, nil
}

type esm2Variants struct {
	scores []*esm2v1.VariantScore
	scan   Assembler
	// Of the columns of the scan.
	residues string
}

func (c *esm2Variants) add(message *esm2v1.StreamScoreVariantsResponse) (*esm2v1.VariantScores, bool, error) {
	part := message.GetScores()
	c.scores = append(c.scores, part.GetScores()...)
	if part.GetScan() != nil {
		if err := c.scan.Add(part.GetScan()); err != nil {
			return nil, false, err
		}
		c.residues = cmp.Or(part.GetScanResidues(), c.residues)
	}
	if !part.GetLast() {
		return nil, false, nil
	}
	scan, err := c.scan.whole()
	return &esm2v1.VariantScores{
		Method:       part.GetMethod(),
		MultiMutant:  part.GetMultiMutant(),
		Scores:       c.scores,
		Scan:         scan,
		ScanResidues: c.residues,
		Last:         true,
		Timings:      part.GetTimings(),
	}, true, err
}
