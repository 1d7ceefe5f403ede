// Mask residues of E. coli IF-1 one by one, and see whether the model finds them again.
//
//	go run ./examples/predict_masked 3 18 47
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	primase "primase.dev/go"
	esm2v1 "primase.dev/go/esm2/v1"
	"primase.dev/go/examples/internal/fasta"
)

const numShown = 5

func main() {
	server := flag.String("server", "localhost:50051", "address of the server")
	model := flag.String("model", "esm2-650m", "an ESM-2 model")
	data := flag.String("data", "../../examples/data", "folder of the sequences")
	flag.Parse()
	positions := flag.Args() // from 1
	if len(positions) == 0 {
		positions = []string{"1", "18", "42", "60"}
	}

	records, err := fasta.Read(filepath.Join(*data, "if1_ecoli.fasta"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := primase.Connect(*server)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	residues := records[0].Sequence
	request := &esm2v1.PredictRequest{Model: *model, NumCandidates: proto.Int32(20)}
	for _, position := range positions {
		i, err := strconv.Atoi(position)
		if err != nil || i < 1 || i > len(residues) {
			log.Fatalf("%s is no position of %d residues", position, len(residues))
		}
		request.Items = append(request.Items, &esm2v1.PredictItem{
			Id:       residues[i-1:i] + position,
			Sequence: residues[:i-1] + "<mask>" + residues[i:],
		})
	}
	answer, err := client.Esm2.Predict(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	for _, prediction := range answer.GetPredictions() {
		candidates := prediction.GetMasks()[0].GetCandidates() // most likely first
		var best []string
		for _, candidate := range candidates[:numShown] {
			best = append(best, fmt.Sprintf("%s %.3f", candidate.GetResidue(), candidate.GetProbability()))
		}
		native := prediction.GetId()[:1]
		rank := 1 + slices.IndexFunc(candidates, func(c *esm2v1.Candidate) bool { return c.GetResidue() == native })
		fmt.Printf("%s\t%s\t%s is number %d of %d\n",
			prediction.GetId(), strings.Join(best, "  "), native, rank, len(candidates))
	}
}
