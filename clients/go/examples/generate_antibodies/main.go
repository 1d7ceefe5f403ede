// Generate heavy chain candidates behind the beginning of an antibody, the most likely first.
//
//	go run ./examples/generate_antibodies -num-samples 16 > candidates.fasta
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	primase "primase.dev/go"
	"primase.dev/go/examples/internal/fasta"
	progen2v1 "primase.dev/go/progen2/v1"
	typev1 "primase.dev/go/type/v1"
)

const (
	standardResidues   = "ACDEFGHIKLMNPQRSTVWY"
	numContextResidues = 25
)

func main() {
	server := flag.String("server", "localhost:50051", "address of the server")
	model := flag.String("model", "progen2-oas", "a ProGen2 model")
	data := flag.String("data", "../../examples/data", "folder of the sequences")
	numSamples := flag.Int("num-samples", 4, "candidates")
	numResidues := flag.Int("num-residues", 100, "most new residues of each")
	seed := flag.Uint64("seed", 7, "names the draws")
	flag.Parse()

	records, err := fasta.Read(filepath.Join(*data, "antibodies.fasta"))
	if err != nil {
		log.Fatal(err)
	}
	template := records[slices.IndexFunc(records, func(r fasta.Record) bool { return r.ID == "trastuzumab_VH" })]
	client, err := primase.Connect(*server)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var candidates []*progen2v1.Sample
	for sample, err := range client.ProGen2.Samples(context.Background(), &progen2v1.StreamGenerateRequest{
		Model: *model,
		Items: []*progen2v1.GenerateItem{{Id: template.ID, Context: template.Sequence[:numContextResidues]}},
		Options: &progen2v1.GenerateOptions{
			MaxNewResidues:    proto.Int32(int32(*numResidues)),
			NumSamples:        proto.Int32(int32(*numSamples)),
			Sampling:          &typev1.Sampling{Temperature: proto.Float32(0.8), TopP: proto.Float32(0.9), Seed: seed},
			Alphabet:          standardResidues,
			IncludeLikelihood: true,
		},
	}) {
		if err := cmp.Or(err, sample.Err); err != nil {
			log.Fatal(err)
		}
		candidates = append(candidates, sample.Value)
	}

	slices.SortStableFunc(candidates, func(a, b *progen2v1.Sample) int { return cmp.Compare(perplexity(a), perplexity(b)) })
	for _, candidate := range candidates {
		protein := candidate.GetFinished().GetSequence()
		reason := candidate.GetFinished().GetOutcome().GetReason().String()
		reason = strings.ToLower(strings.TrimPrefix(reason, "FINISH_REASON_"))
		fmt.Printf(">candidate%d perplexity=%.2f\n%s\n", candidate.GetSampleIndex(), perplexity(candidate), protein)
		fmt.Fprintf(os.Stderr, "candidate%d: %d residues, ended by %s, %.0f %% as %s, %.0f %% of low complexity\n",
			candidate.GetSampleIndex(), len(protein), reason,
			percentEqual(protein, template.Sequence), template.ID,
			100*candidate.GetFinished().GetLowComplexityFraction())
	}
}

func perplexity(candidate *progen2v1.Sample) float64 {
	return candidate.GetFinished().GetLikelihood().GetResiduePerplexity()
}

// percentEqual is how much of the template stands in the same place of the protein.
func percentEqual(protein, template string) float64 {
	numEqual := 0
	for i := range min(len(protein), len(template)) {
		if protein[i] == template[i] {
			numEqual++
		}
	}
	return 100 * float64(numEqual) / float64(len(template))
}
