package primase

import (
	"iter"

	typev1 "primase.dev/go/type/v1"
)

// samples puts the samples of a call together, and gives them in order of item, then of sample.
// begin makes an empty one, add gives it what came.
func samples[M generationEvent[F], F, S any](
	events iter.Seq2[M, error], asked asked,
	begin func(sampleKey) S, add func(S, M) error, ids []string,
) iter.Seq2[Item[S], error] {
	return func(yield func(Item[S], error) bool) {
		open := map[sampleKey]S{}
		queue := sampleQueue[S]{asked: asked, done: map[sampleKey]Item[S]{}}
		for event, err := range ordered(events, asked) {
			if err != nil {
				yield(Item[S]{}, err)
				return
			}
			key := keyOf(event)
			result := Item[S]{Index: key.item, Sample: key.sample, ID: ids[key.item]}
			if failed := event.GetFailed(); failed != nil {
				result.Err = FromStatus(failed)
			} else {
				if _, has := open[key]; !has {
					open[key] = begin(key)
				}
				if err := add(open[key], event); err != nil {
					yield(Item[S]{}, err)
					return
				}
				if event.GetFinished() == nil {
					continue
				}
				result.Value = open[key]
			}
			delete(open, key)
			for _, next := range queue.put(result) {
				if !yield(next, nil) {
					return
				}
			}
		}
	}
}

// sampleQueue holds samples that have ended until those before them have.
type sampleQueue[S any] struct {
	asked
	next sampleKey
	done map[sampleKey]Item[S]
}

// put takes a sample, and gives those that are next in order.
func (q *sampleQueue[S]) put(sample Item[S]) []Item[S] {
	q.done[sampleKey{sample.Index, sample.Sample}] = sample
	var ready []Item[S]
	for {
		sample, has := q.done[q.next]
		if !has {
			return ready
		}
		ready = append(ready, sample)
		delete(q.done, q.next)
		if q.next.sample++; q.next.sample == q.numSamples {
			q.next = sampleKey{q.next.item + 1, 0}
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
