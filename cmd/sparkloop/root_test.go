package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitDone, "Exit codes:"},
		{[]string{"--help"}, exitDone, "SPARKLOOP_BASE_URL"},
		{[]string{"--version"}, exitDone, "sparkloop (devel)\n"},
		{[]string{"completion", "bash"}, exitDone, "__start_sparkloop"},
		{[]string{"completion", "zsh"}, exitDone, "#compdef sparkloop"},
		{[]string{"completion", "fish"}, exitDone, "complete -c sparkloop"},
		{[]string{"__complete", "offers", "--output", ""}, exitDone, "table\njson\ncsv\n"},
		{[]string{"nonsense"}, exitUsage, `unknown command "nonsense"`},
		{[]string{"offers", "more"}, exitUsage, `unknown command "more"`},
		{[]string{"offers", "--nonsense"}, exitUsage, "unknown flag: --nonsense"},
		{[]string{"offers", "--output", "xml"}, exitUsage, `unknown format "xml"`},
		{[]string{"check", "more"}, exitUsage, `unknown command "more"`},
	} {
		d := newDesk(t)
		got := d.run(t, tt.args...)
		assert.Equal(t, tt.code, got.code, tt.args)
		assert.Contains(t, got.out+got.err, tt.says, tt.args)
		if tt.code != exitDone {
			assert.Empty(t, got.out, tt.args)
		}
		assert.Empty(t, d.api.Requests(), tt.args)
	}
}

func TestEveryCommandThatCallsSparkLoopNeedsAKey(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check"}, {"offers"}} {
		d := newDesk(t)
		for key, says := range map[string]string{"": "no API key: set SPARKLOOP_API_KEY", "two words": "the API key has a space"} {
			d.env["SPARKLOOP_API_KEY"] = key
			got := d.run(t, args...)
			assert.Equal(t, exitUsage, got.code, args)
			assert.Contains(t, got.err, says, args)
			assert.Empty(t, got.out, args)
		}
		d.env["SPARKLOOP_API_KEY"], d.env["SPARKLOOP_BASE_URL"] = secret, "http://api.example.com"
		got := d.run(t, args...)
		assert.Equal(t, exitUsage, got.code, args)
		assert.Contains(t, got.err, "https", args)
		assert.Empty(t, d.api.Requests())
	}
}
