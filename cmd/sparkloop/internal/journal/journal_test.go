package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/journal"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, path, api, key string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path, api, key)
	require.NoError(t, err)
	t.Cleanup(j.Close)
	return j
}

func begun(t *testing.T, path, hash string) *journal.Journal {
	t.Helper()
	j := open(t, path, "api", "key")
	require.NoError(t, j.Begin(hash, now))
	return j
}

func state(j *journal.Journal, conversion string) journal.State {
	a, _ := j.Answer(conversion)
	return a.State
}

func TestAnswersOutliveTheRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	j := begun(t, path, "list")
	for conversion, s := range map[string]journal.State{"o/a": journal.Confirmed, "o/b": journal.Already, "o/c": journal.Refused} {
		require.NoError(t, j.Ask(conversion, now))
		require.NoError(t, j.Note(conversion, journal.Answer{State: s, Reason: "why\tso\nlong", At: now}))
	}
	j = begun(t, path, "list")
	a, ok := j.Answer("o/a")
	assert.True(t, ok)
	assert.Equal(t, journal.Answer{State: journal.Confirmed, Reason: "why so long", At: now}, a)
	assert.Equal(t, journal.Already, state(j, "o/b"))
	assert.Equal(t, journal.Refused, state(j, "o/c"))
	_, ok = j.Answer("o/d")
	assert.False(t, ok)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestARequestWithoutAnAnswerIsRemembered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	j := begun(t, path, "list")
	for _, conversion := range []string{"o/lost", "o/left"} {
		assert.False(t, j.Asked(conversion))
		require.NoError(t, j.Ask(conversion, now))
		assert.True(t, j.Asked(conversion))
	}
	require.NoError(t, j.Left("o/left", now))
	j = begun(t, path, "list")
	for conversion, want := range map[string]bool{"o/lost": true, "o/left": false, "o/new": false} {
		assert.Equal(t, want, j.Asked(conversion), conversion)
	}
}

func TestAnotherAPIAndAnotherKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, "api", "key")
	for conversion, s := range map[string]journal.State{"o/a": journal.Confirmed, "o/b": journal.Already, "o/c": journal.Refused} {
		require.NoError(t, j.Note(conversion, journal.Answer{State: s, At: now}))
	}
	j = open(t, path, "api", "other key")
	assert.Equal(t, journal.Confirmed, state(j, "o/a"), "after a change of the key it is still confirmed")
	assert.Equal(t, journal.Already, state(j, "o/b"))
	assert.Empty(t, state(j, "o/c"), "another account may have it")
	j = open(t, path, "other api", "key")
	for _, conversion := range []string{"o/a", "o/b", "o/c"} {
		assert.Empty(t, state(j, conversion))
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(data), "other key")
}

// A conversion confirmed by one list was confirmed earlier for the next list.
func TestLists(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		done    bool
		next    string
		becomes journal.State
	}{
		{"interrupted, the same", false, "one", journal.Confirmed},
		{"interrupted, and a line corrected", false, "two", journal.Confirmed},
		{"settled, the same again", true, "one", journal.Confirmed},
		{"settled, and another one", true, "two", journal.Already},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "j")
			j := begun(t, path, "one")
			require.NoError(t, j.Note("o/a", journal.Answer{State: journal.Confirmed, At: now}))
			if tt.done {
				require.NoError(t, j.Done(now))
			}
			for range 2 {
				j = begun(t, path, tt.next)
				a, _ := j.Answer("o/a")
				assert.Equal(t, journal.Answer{State: tt.becomes, At: now}, a)
				require.NoError(t, j.Note("o/b", journal.Answer{State: journal.Confirmed, At: now}))
				assert.Equal(t, journal.Confirmed, state(j, "o/b"))
			}
		})
	}
}

func TestALineThatWasCutShort(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j")
	j := begun(t, path, "list")
	require.NoError(t, j.Note("o/a", journal.Answer{State: journal.Confirmed, At: now}))
	require.NoError(t, j.Note("o/abc", journal.Answer{State: journal.Refused, Reason: "why", At: now}))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	last := strings.LastIndex(strings.TrimSuffix(string(whole), "\n"), "\n") + 1
	for cut := range len(whole) {
		path := filepath.Join(t.TempDir(), "cut")
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		j := begun(t, path, "list")
		if cut >= last {
			assert.Equal(t, journal.Confirmed, state(j, "o/a"), cut)
		}
		for _, other := range []string{"o/ab", "o/", "o"} {
			assert.Empty(t, state(j, other), "cut at %d", cut)
		}
		require.NoError(t, j.Note("o/new", journal.Answer{State: journal.Already, At: now}))
		j = begun(t, path, "list")
		assert.Equal(t, journal.Already, state(j, "o/new"), "the next line is whole, cut at %d", cut)
	}
}

func TestWhatIsNoJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "diary")
	require.NoError(t, os.WriteFile(path, []byte("Dear diary\n"), 0o600))
	_, err := journal.Open(path, "api", "key")
	require.ErrorContains(t, err, "not a journal")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "Dear diary\n", string(data))
	_, err = journal.Open(filepath.Join(path, "x"), "api", "key")
	require.Error(t, err)
}

func TestAJournalThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	j := begun(t, filepath.Join(t.TempDir(), "j"), "list")
	j.Close()
	require.ErrorContains(t, j.Ask("o/a", now), "the journal cannot be written")
	require.Error(t, j.Note("o/a", journal.Answer{}))
	require.Error(t, j.Left("o/a", now))
	require.Error(t, j.Done(now))
	require.Error(t, j.Begin("x", now))
}
