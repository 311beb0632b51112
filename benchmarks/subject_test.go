package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEverySubjectMakesBothCalls(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			sent := counting{memory: replies()}
			c, err := s.make(setup{base: "http://localhost", client: &http.Client{Transport: &sent}})
			require.NoError(t, err)
			require.NoError(t, c.post(t.Context()))
			assert.Equal(t, []string{http.MethodPost}, sent.methods)
			require.NoError(t, c.list(t.Context()))
			assert.Equal(t, []string{http.MethodPost, http.MethodGet}, sent.methods)
			assert.Empty(t, sent.bodies)
		})
	}
}

type counting struct {
	memory
	methods []string
	bodies  []int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.methods = append(c.methods, r.Method)
	if r.ContentLength != 0 {
		c.bodies = append(c.bodies, r.ContentLength)
	}
	return c.memory.RoundTrip(r)
}
