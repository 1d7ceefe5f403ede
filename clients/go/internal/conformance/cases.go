package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	primase "primase.dev/go"
)

// object is one of JSON.
type object = map[string]any

type testCase struct {
	Name             string
	Server           string
	Connect          connection
	RPC              string
	Request          json.RawMessage
	Drive            string
	CancelAfter      int `json:"cancel_after"`
	BreakAfterTokens int `json:"break_after_tokens"`
	Watch            string
	Needs            []string
}

type connection struct {
	Token      string
	Retry      *bool
	DeadlineMS int `json:"deadline_ms"`
}

// load reads the cases of all files of a folder, in order of their names.
func load(folder string) ([]testCase, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []testCase
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var cases []testCase
		if err := json.Unmarshal(text, &cases); err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	return all, nil
}

func (c connection) options(encrypted bool, authority string) ([]primase.Option, error) {
	var options []primase.Option
	if c.Token != "" {
		options = append(options, primase.WithToken(c.Token))
	}
	if c.Retry != nil && !*c.Retry {
		options = append(options, primase.WithRetry(primase.Retry{}))
	}
	if c.DeadlineMS != 0 {
		options = append(options, primase.WithTimeout(time.Duration(c.DeadlineMS)*time.Millisecond))
	}
	if encrypted {
		settings, err := primase.LoadTLS(authority, "", "")
		if err != nil {
			return nil, err
		}
		options = append(options, primase.WithTLS(settings))
	}
	return options, nil
}
