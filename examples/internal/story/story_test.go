package story

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheFirstErrorEndsTheStory(t *testing.T) {
	t.Parallel()
	failed, alsoFailed := errors.New("failed"), errors.New("also failed")
	var out bytes.Buffer
	var order []int
	var dir string
	err := Tell(t.Context(), &out, func(s *Story) {
		dir = s.TempDir()
		s.Cleanup(func() error { order = append(order, 2); return nil })
		s.Cleanup(func() error { order = append(order, 1); return alsoFailed })
		s.Step("One")
		Check(nil)
		Check(failed)
		s.Step("Two")
	})
	require.ErrorIs(t, err, failed)
	require.ErrorIs(t, err, alsoFailed)
	assert.Equal(t, "\n1. One\n", out.String())
	assert.Equal(t, []int{1, 2}, order)
	_, err = os.Stat(dir)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestABugIsNotAnError(t *testing.T) {
	t.Parallel()
	cleaned := false
	assert.PanicsWithValue(t, "bug", func() {
		Tell(t.Context(), io.Discard, func(s *Story) { //nolint:errcheck // it panics
			s.Cleanup(func() error { cleaned = true; return nil })
			panic("bug")
		})
	})
	assert.True(t, cleaned)
}

func TestAStoryIsStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	err := Tell(ctx, io.Discard, func(s *Story) {
		s.Until(func() (bool, error) { cancel(); return false, nil })
		t.Error("not reached")
	})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestAVisitorKeepsCookies(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := r.Cookie("seen"); err == nil {
				http.Error(w, r.Method, http.StatusTeapot)
			}
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
		}))
	}()
	page := "http://" + listener.Addr().String() + "/"
	err = Tell(t.Context(), io.Discard, func(s *Story) {
		v := s.Visitor()
		v.Click("", page).OK()
		assert.Contains(t, v.Landing, "submission="+v.Tracking.Submission)
		again := v.Submit(page, nil)
		assert.Equal(t, "418 I'm a teapot", again.Status)
		assert.Equal(t, "POST", again.Body)
		assert.Equal(t, "200 OK", s.Visitor().Open(page).Status)
		again.OK()
	})
	require.ErrorContains(t, err, "the page answered 418")
	cancel()
	require.NoError(t, <-served)
}
