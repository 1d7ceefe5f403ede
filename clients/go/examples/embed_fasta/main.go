// Embed the proteins of a FASTA file into one array, and tell which are alike.
//
//	go run ./examples/embed_fasta -fasta proteins.fasta
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"

	primase "primase.dev/go"
	esm2v1 "primase.dev/go/esm2/v1"
	"primase.dev/go/examples/internal/fasta"
)

func main() {
	server := flag.String("server", "localhost:50051", "address of the server")
	model := flag.String("model", "esm2-650m", "an ESM-2 model")
	path := flag.String("fasta", "../../examples/data/proteins.fasta", "the proteins")
	flag.Parse()

	records, err := fasta.Read(*path)
	if err != nil {
		log.Fatal(err)
	}
	client, err := primase.Connect(*server)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	request := &esm2v1.StreamEncodeRequest{
		Model:   *model,
		Options: &esm2v1.EncodeOptions{Include: []esm2v1.Include{esm2v1.Include_INCLUDE_MEAN}},
	}
	for _, record := range records {
		request.Items = append(request.Items, &esm2v1.EncodeItem{Id: record.ID, Sequence: record.Sequence})
	}
	var ids []string
	var embeddings [][]float32 // [proteins][width]
	for item, err := range client.Esm2.Encodings(context.Background(), request) {
		if err != nil {
			log.Fatal(err)
		}
		if item.Err != nil {
			log.Printf("%s is left out: %v", item.ID, item.Err)
			continue
		}
		mean, err := primase.Floats(item.Value.GetLayers()[0].GetMean()) // of the last layer
		if err != nil {
			log.Fatal(err)
		}
		ids, embeddings = append(ids, item.ID), append(embeddings, mean.Data)
	}

	fmt.Printf("%d proteins, %d numbers each\n", len(embeddings), len(embeddings[0]))
	directions := centred(embeddings)
	for i := range directions {
		nearest, best := -1, math.Inf(-1)
		for j := range directions {
			if alike := cosine(directions[i], directions[j]); i != j && alike > best {
				nearest, best = j, alike
			}
		}
		fmt.Printf("%s\t%s\t%.3f\n", ids[i], ids[nearest], best)
	}
}

// centred takes the mean of all rows off each of them.
func centred(rows [][]float32) [][]float64 {
	mean := make([]float64, len(rows[0]))
	for _, row := range rows {
		for i, number := range row {
			mean[i] += float64(number) / float64(len(rows))
		}
	}
	found := make([][]float64, len(rows))
	for i, row := range rows {
		for j, number := range row {
			found[i] = append(found[i], float64(number)-mean[j])
		}
	}
	return found
}

func cosine(a, b []float64) float64 {
	var product, squareA, squareB float64
	for i := range a {
		product, squareA, squareB = product+a[i]*b[i], squareA+a[i]*a[i], squareB+b[i]*b[i]
	}
	return product / math.Sqrt(squareA*squareB)
}
