// Stream DNA behind the beginning of phage phiX174, and compare it with the genome.
//
//	go run ./examples/stream_dna -server localhost:50051 -model evo2-7b
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	primase "primase.dev/go"
	evo2v1 "primase.dev/go/evo2/v1"
	"primase.dev/go/examples/internal/fasta"
	typev1 "primase.dev/go/type/v1"
)

const numPromptBases = 240

func main() {
	server := flag.String("server", "localhost:50051", "address of the server")
	model := flag.String("model", "evo2-7b", "an Evo 2 model")
	data := flag.String("data", "../../examples/data", "folder of the sequences")
	numBases := flag.Int("num-bases", 60, "new bases")
	seed := flag.Uint64("seed", 7, "names the draws")
	flag.Parse()
	// Ctrl-C ends the loop below, and the work at the server.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	records, err := fasta.Read(filepath.Join(*data, "phix174.fasta"))
	if err != nil {
		log.Fatal(err)
	}
	genome := records[0].Sequence
	client, err := primase.Connect(*server)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	made := ""
	for event, err := range client.Evo2.Events(ctx, &evo2v1.StreamGenerateRequest{
		Model: *model,
		Items: []*evo2v1.GenerateItem{{Id: records[0].ID, Prompt: genome[:numPromptBases]}},
		Options: &evo2v1.GenerateOptions{
			NumTokens: proto.Int32(int32(*numBases)),
			Alphabet:  "ACGT",
			Sampling:  &typev1.Sampling{TopK: 4, Seed: seed},
		},
	}) {
		switch {
		case err != nil:
			log.Fatal(err)
		case event.GetFailed() != nil:
			log.Fatal(primase.FromStatus(event.GetFailed()))
		case event.GetStarted() != nil:
			fmt.Printf("%s, %d bases of %s read\n",
				event.GetStarted().GetModel(), event.GetStarted().GetNumPromptTokens(), records[0].ID)
		case event.GetTokens() != nil:
			fmt.Print(event.GetTokens().GetText())
			made += event.GetTokens().GetText()
		}
	}

	native := genome[numPromptBases:min(len(genome), numPromptBases+len(made))]
	numEqual := 0
	for i := range native {
		if made[i] == native[i] {
			numEqual++
		}
	}
	fmt.Printf("\n%s in %s\n", native, records[0].ID)
	fmt.Printf("%d bases, GC %.0f %% (%.0f %%), %d equal\n", len(made), gcPercent(made), gcPercent(native), numEqual)
}

// gcPercent is how much of the bases are G and C.
func gcPercent(bases string) float64 {
	return 100 * float64(strings.Count(bases, "G")+strings.Count(bases, "C")) / float64(len(bases))
}
