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
