// Score substitutions of E. coli IF-1, and compare with their measured fitness.
//
//	go run ./examples/score_variants -model esm2-650m
package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	primase "primase.dev/go"
	esm2v1 "primase.dev/go/esm2/v1"
	"primase.dev/go/examples/internal/fasta"
)

const numShown = 5

// variant is one substitution, by the model and in the laboratory.
type variant struct {
	name            string
	score, measured float64
}

func main() {
	server := flag.String("server", "localhost:50051", "address of the server")
	model := flag.String("model", "esm2-650m", "an ESM-2 model")
	data := flag.String("data", "../../examples/data", "folder of the sequences")
	flag.Parse()

	records, err := fasta.Read(filepath.Join(*data, "if1_ecoli.fasta"))
	if err != nil {
		log.Fatal(err)
	}
	variants, err := readVariants(filepath.Join(*data, "if1_ecoli_variants.csv"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := primase.Connect(*server)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	protein := &esm2v1.VariantsItem{Id: records[0].ID, Sequence: records[0].Sequence}
	for _, variant := range variants {
		protein.Variants = append(protein.Variants, variant.name)
	}
	for item, err := range client.Esm2.VariantScores(context.Background(), &esm2v1.StreamScoreVariantsRequest{
		Model:  *model,
		Items:  []*esm2v1.VariantsItem{protein},
		Method: esm2v1.VariantMethod_VARIANT_METHOD_MASKED_MARGINAL,
	}) {
		if err := cmp.Or(err, item.Err); err != nil {
			log.Fatal(err)
		}
		for i, score := range item.Value.GetScores() {
			variants[i].score = score.GetScore()
		}
	}

	correlation := spearman(variants)
	slices.SortStableFunc(variants, func(a, b variant) int { return cmp.Compare(a.score, b.score) })
	fmt.Println("variant\tscore\tmeasured")
	for _, variant := range variants[:numShown] {
		fmt.Printf("%s\t%.3f\t%.3f\n", variant.name, variant.score, variant.measured)
	}
	fmt.Printf("%s: Spearman %.3f over %d variants\n", protein.GetId(), correlation, len(variants))
}

// readVariants reads a table of `mutant` and `score`.
func readVariants(path string) ([]variant, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	var variants []variant
	for _, row := range rows[1:] {
		measured, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return nil, err
		}
		variants = append(variants, variant{name: row[0], measured: measured})
	}
	return variants, nil
}

// spearman is the rank correlation; equal numbers are ranked as they come.
func spearman(variants []variant) float64 {
	scores := ranks(variants, func(v variant) float64 { return v.score })
	measured := ranks(variants, func(v variant) float64 { return v.measured })
	mean := float64(len(variants)-1) / 2
	var product, squareA, squareB float64
	for i := range variants {
		a, b := scores[i]-mean, measured[i]-mean
		product, squareA, squareB = product+a*b, squareA+a*a, squareB+b*b
	}
	return product / math.Sqrt(squareA*squareB)
}

func ranks(variants []variant, number func(variant) float64) []float64 {
	order := make([]int, len(variants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(number(variants[a]), number(variants[b]))
	})
	found := make([]float64, len(variants))
	for rank, i := range order {
		found[i] = float64(rank)
	}
	return found
}
