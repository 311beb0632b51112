package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary run the server.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-"+serveFlag {
		takes, err := time.ParseDuration(os.Args[2])
		if err == nil {
			err = serve(takes, os.Stdin, os.Stdout)
		}
		exit(err)
	}
	os.Exit(m.Run())
}

// The connections of one burst serve all twenty, even if calls between them
// break and are cancelled.
func TestBurstsShareTheirConnections(t *testing.T) {
	t.Parallel()
	ours := subjects[1]
	require.Equal(t, sdk, ours.name)
	got, err := connections(t.Context(), ours)
	require.NoError(t, err)
	assert.LessOrEqual(t, got.smooth, width)
	assert.LessOrEqual(t, got.troubled, width)
	assert.Positive(t, got.troubled)
}
