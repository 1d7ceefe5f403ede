package fasta_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"primase.dev/go/examples/internal/fasta"
)

func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "two.fasta")
	text := ">a first one\nMK\r\nTV\n>b\n\nGAG\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := fasta.Read(path)
	if want := []fasta.Record{{"a", "MKTV"}, {"b", "GAG"}}; err != nil || !slices.Equal(records, want) {
		t.Errorf("got %v, %v", records, err)
	}
}

func TestNothingToRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.fasta")
	if err := os.WriteFile(path, []byte("MKTV\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, path + "x"} {
		if records, err := fasta.Read(path); err == nil {
			t.Errorf("got %v", records)
		}
	}
}
