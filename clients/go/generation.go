package primase

import (
	"iter"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"

	typev1 "primase.dev/go/type/v1"
)

// generationEvent is what the messages of every family's stream have in common.
type generationEvent[F any] interface {
	GetItemIndex() int32
	GetSampleIndex() int32
	GetSequenceNumber() int64
	GetStarted() *typev1.GenerationStarted
	GetTokens() *typev1.GeneratedTokens
	GetFinished() *F
	GetFailed() *statuspb.Status
}

// sampleKey names a sample of a call.
type sampleKey struct {
	item, sample int
}

func keyOf[M generationEvent[F], F any](event M) sampleKey {
	return sampleKey{int(event.GetItemIndex()), int(event.GetSampleIndex())}
}

// sampleOrder is how far the events of a sample have come.
type sampleOrder struct {
	next           int64
	started, ended bool
}

// asked is how many samples a call makes of how many items.
type asked struct {
	numItems, numSamples int
}

// generationOrder holds the events of a call to their rules: each sample has one start, its tokens
// in order, and one end.
type generationOrder struct {
	asked
	samples  map[sampleKey]*sampleOrder
	numEnded int
}

// ordered passes events on, and ends with an error where they break their rules.
func ordered[M generationEvent[F], F any](
	events iter.Seq2[M, error], asked asked,
) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		order := &generationOrder{asked: asked, samples: map[sampleKey]*sampleOrder{}}
		var none M
		for event, err := range events {
			if err == nil {
				err = check(order, event)
			}
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(event, nil) {
				return
			}
		}
		if left := order.numItems*order.numSamples - order.numEnded; left != 0 {
			yield(none, brokenAnswer("it ended without the end of %d samples", left))
		}
	}
}

func check[M generationEvent[F], F any](order *generationOrder, event M) error {
	key := keyOf(event)
	if key.item < 0 || key.item >= order.numItems || key.sample < 0 || key.sample >= order.numSamples {
		return brokenAnswer("it names sample %d of item %d, not asked for", key.sample, key.item)
	}
	sample := order.samples[key]
	if sample == nil {
		sample = &sampleOrder{}
		order.samples[key] = sample
	}
	if event.GetSequenceNumber() != sample.next {
		return brokenAnswer("it has event %d of sample %d of item %d, not %d",
			event.GetSequenceNumber(), key.sample, key.item, sample.next)
	}
	sample.next++
	isStart := event.GetStarted() != nil
	needsStart := event.GetTokens() != nil || event.GetFinished() != nil
	if sample.ended || isStart && sample.started || needsStart && !sample.started {
		return brokenAnswer("event %d of sample %d of item %d is out of place",
			event.GetSequenceNumber(), key.sample, key.item)
	}
	sample.started = sample.started || isStart
	if event.GetFinished() != nil || event.GetFailed() != nil {
		sample.ended = true
		order.numEnded++
	}
	return nil
}

// samples puts the samples of a call together, and gives them in order of item, then of sample.
// begin makes an empty one, add gives it what came.
func samples[M generationEvent[F], F, S any](
	events iter.Seq2[M, error], asked asked,
	begin func(sampleKey) S, add func(S, M) error, id func(item int) string,
) iter.Seq2[Item[S], error] {
	return func(yield func(Item[S], error) bool) {
		open, done := map[sampleKey]S{}, map[sampleKey]Item[S]{}
		next := sampleKey{}
		for event, err := range ordered(events, asked) {
			if err != nil {
				yield(Item[S]{}, err)
				return
			}
			key := keyOf(event)
			if _, has := open[key]; !has {
				open[key] = begin(key)
			}
			result := Item[S]{Index: key.item, Sample: key.sample, ID: id(key.item)}
			if failed := event.GetFailed(); failed != nil {
				result.Err = FromStatus(failed)
			} else if err := add(open[key], event); err != nil {
				yield(Item[S]{}, err)
				return
			} else if event.GetFinished() == nil {
				continue
			} else {
				result.Value = open[key]
			}
			delete(open, key)
			done[key] = result
			for result, has := done[next]; has; result, has = done[next] {
				delete(done, next)
				if next.sample++; next.sample == asked.numSamples {
					next = sampleKey{next.item + 1, 0}
				}
				if !yield(result, nil) {
					return
				}
			}
		}
	}
}

// joined appends tokens to those of a sample so far, which may be nil.
func joined(sofar, more *typev1.GeneratedTokens) (*typev1.GeneratedTokens, error) {
	if sofar == nil {
		sofar = &typev1.GeneratedTokens{}
	}
	numTokens := len(more.GetTokenIds())
	for _, values := range [][]float32{more.GetLogProbs(), more.GetSampledProbs(), more.GetElapsedMs()} {
		if len(values) != 0 && len(values) != numTokens {
			return nil, brokenAnswer("it has %d values for %d tokens", len(values), numTokens)
		}
	}
	var err error
	rows := func(sofar, more *typev1.Tensor) *typev1.Tensor {
		if err == nil {
			sofar, err = joinedRows(sofar, more, int64(numTokens))
		}
		return sofar
	}
	sofar.Text += more.GetText()
	sofar.TokenIds = append(sofar.TokenIds, more.GetTokenIds()...)
	sofar.LogProbs = append(sofar.LogProbs, more.GetLogProbs()...)
	sofar.SampledProbs = append(sofar.SampledProbs, more.GetSampledProbs()...)
	sofar.ElapsedMs = append(sofar.ElapsedMs, more.GetElapsedMs()...)
	sofar.Logits = rows(sofar.Logits, more.GetLogits())
	sofar.AlternativeIds = rows(sofar.AlternativeIds, more.GetAlternativeIds())
	sofar.AlternativeLogProbs = rows(sofar.AlternativeLogProbs, more.GetAlternativeLogProbs())
	return sofar, err
}

func joinedRows(sofar, more *typev1.Tensor, numRows int64) (*typev1.Tensor, error) {
	shape := more.GetShape()
	if len(shape) == 0 || numRows == 0 {
		return sofar, nil
	}
	if _, _, err := checked(more); err != nil {
		return nil, err
	}
	if shape[0] != numRows {
		return nil, brokenAnswer("it has %d rows for %d tokens", shape[0], numRows)
	}
	if sofar == nil {
		return more, nil
	}
	sofar.Shape[0] += numRows
	sofar.Data = append(sofar.Data, more.GetData()...)
	if _, _, err := checked(sofar); err != nil {
		return nil, err
	}
	return sofar, nil
}
