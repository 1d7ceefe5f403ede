// The runner of Go for the conformance suite: drives the client through the cases of a folder, and
// prints what came of each. The suite's README says what it takes and prints.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	primase "primase.dev/go"
)

func main() {
	folder := flag.String("cases", "", "folder of the cases")
	targets := map[string]*string{
		"live":     flag.String("server", "", "address of the live server"),
		"scripted": flag.String("scripted", "", "address of the scripted server"),
		"tls":      flag.String("tls", "", "address of the encrypted server"),
	}
	authority := flag.String("ca", "", "PEM file of the authority of the encrypted server")
	flag.Parse()
	cases, err := load(*folder)
	if err == nil {
		err = runAll(cases, targets, *authority)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runAll(cases []testCase, targets map[string]*string, authority string) error {
	lines := json.NewEncoder(os.Stdout)
	for _, test := range cases {
		if err := lines.Encode(outcomeOf(test, *targets[test.Server], authority)); err != nil {
			return err
		}
	}
	return nil
}

// outcomeOf runs a case over a connection of its own.
func outcomeOf(test testCase, target, authority string) (found object) {
	defer func() {
		if what := recover(); what != nil {
			found = object{"case": test.Name, "crashed": fmt.Sprint(what)}
		}
	}()
	for _, need := range test.Needs {
		return object{"case": test.Name, "skipped": "this client does not " + need}
	}
	options, err := test.Connect.options(test.Server == "tls", authority)
	if err != nil {
		panic(err)
	}
	client, err := primase.Connect(target, options...)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	return newRun(test, client).outcome()
}
