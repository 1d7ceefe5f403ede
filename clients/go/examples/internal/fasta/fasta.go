// Package fasta reads the sequences of the examples.
package fasta

import (
	"fmt"
	"os"
	"strings"
)

// A Record is one sequence. ID is the first word of its header.
type Record struct {
	ID       string
	Sequence string
}

// Read gives the records of a file, of which there is at least one.
func Read(path string) ([]Record, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, entry := range strings.Split("\n"+string(text), "\n>")[1:] {
		header, lines, _ := strings.Cut(entry, "\n")
		id, _, _ := strings.Cut(strings.TrimSpace(header), " ")
		records = append(records, Record{id, strings.Join(strings.Fields(lines), "")})
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s holds no sequence", path)
	}
	return records, nil
}
