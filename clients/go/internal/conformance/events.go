package main

import (
	"strconv"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	primase "primase.dev/go"
	evo2v1 "primase.dev/go/evo2/v1"
	progen2v1 "primase.dev/go/progen2/v1"
	typev1 "primase.dev/go/type/v1"
)

// event is a message of a generation.
type event interface {
	proto.Message
	GetItemIndex() int32
	GetSampleIndex() int32
	GetStarted() *typev1.GenerationStarted
	GetTokens() *typev1.GeneratedTokens
	GetFailed() *statuspb.Status
}

// eventObject is one event, of a call before which the sample had so many tokens; nil for a
// heartbeat.
func eventObject(event event, numTokensBefore int) (object, error) {
	found := object{"index": event.GetItemIndex(), "sample": event.GetSampleIndex()}
	if started := event.GetStarted(); started != nil {
		found["event"] = "started"
		found["model"] = started.GetModel()
		found["seed"] = strconv.FormatUint(started.GetSeed(), 10)
		found["num_prompt_tokens"] = started.GetNumPromptTokens()
		found["determinism"] = enumName(started.GetDeterminism().Descriptor(), started.GetDeterminism().Number())
		return found, nil
	}
	if tokens := event.GetTokens(); tokens != nil {
		found["event"] = "tokens"
		return found, addTokens(found, tokens)
	}
	if failed := event.GetFailed(); failed != nil {
		found["event"], found["error"] = "failed", errorObject(primase.FromStatus(failed))
		return found, nil
	}
	switch event := event.(type) {
	case *evo2v1.StreamGenerateResponse:
		if finished := event.GetFinished(); finished != nil {
			addOutcome(found, finished, numTokensBefore)
			return found, nil
		}
	case *progen2v1.StreamGenerateResponse:
		if finished := event.GetFinished(); finished != nil {
			addOutcome(found, finished.GetOutcome(), numTokensBefore)
			return found, addProtein(found, finished)
		}
	}
	return nil, nil
}

func addTokens(found object, tokens *typev1.GeneratedTokens) error {
	ids := []uint32{}
	found["text"], found["token_ids"] = tokens.GetText(), append(ids, tokens.GetTokenIds()...)
	for name, values := range map[string][]float32{
		"log_probs":     tokens.GetLogProbs(),
		"sampled_probs": tokens.GetSampledProbs(),
		"elapsed_ms":    tokens.GetElapsedMs(),
	} {
		if len(values) == 0 {
			continue
		}
		numbers := []any{}
		for _, value := range values {
			numbers = append(numbers, number(float64(value)))
		}
		found[name] = numbers
	}
	arrays := object{}
	for name, tensor := range map[string]*typev1.Tensor{
		"logits":                tokens.GetLogits(),
		"alternative_ids":       tokens.GetAlternativeIds(),
		"alternative_log_probs": tokens.GetAlternativeLogProbs(),
	} {
		if tensor == nil {
			continue
		}
		array, err := arrayObject(tensor)
		if err != nil {
			return err
		}
		arrays[name] = array
	}
	found["arrays"] = arrays
	return nil
}

func addOutcome(found object, finished *typev1.GenerationFinished, numTokensBefore int) {
	found["event"] = "finished"
	found["reason"] = enumName(finished.GetReason().Descriptor(), finished.GetReason().Number())
	found["num_generated_tokens"] = int64(numTokensBefore) + finished.GetUsage().GetNumGeneratedTokens()
	found["mass_outside_alphabet"] = number(finished.GetMassOutsideAlphabet())
}

func addProtein(found object, finished *progen2v1.SampleFinished) error {
	found["sequence"] = finished.GetSequence()
	found["terminal"] = enumName(finished.GetTerminal().Descriptor(), finished.GetTerminal().Number())
	found["low_complexity_fraction"] = finished.GetLowComplexityFraction()
	if finished.GetLikelihood() == nil {
		return nil
	}
	_, values, err := itemObjects(finished.GetLikelihood())
	found["likelihood"] = values
	return err
}
