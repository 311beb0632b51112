package endpoint_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
)

var (
	one = &url.URL{Path: "/1"}
	two = &url.URL{Path: "/2"}

	oneA, twoA, twoB, oneB = &endpoint.Form{Base: one, Leaf: "a"}, &endpoint.Form{Base: two, Leaf: "a"},
		&endpoint.Form{Base: two, Leaf: "b"}, &endpoint.Form{Base: one, Leaf: "b"}
)

// server knows one form and notes which were asked.
type server struct {
	mu     sync.Mutex
	knows  *endpoint.Form
	answer endpoint.Verdict // for the form it knows; Proven if not set
	slow   time.Duration
	asked  []*endpoint.Form
}

func (s *server) try(f *endpoint.Form) endpoint.Verdict {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, f)
	if f != s.knows {
		return endpoint.Absent
	}
	return s.answer
}

func newFinder() *endpoint.Finder { return endpoint.New(new(endpoint.Base), oneA, twoA, twoB, oneB) }

func TestTheFormsAreTriedInOrder(t *testing.T) {
	t.Parallel()
	for n, form := range []*endpoint.Form{oneA, twoA, twoB, oneB} {
		f, s := newFinder(), &server{knows: form, answer: endpoint.Proven}
		require.Nil(t, f.Known())
		tried, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)
		assert.Nil(t, tried)
		assert.Len(t, s.asked, n+1)
		assert.Equal(t, form, f.Known())
	}
}

func TestNothingFound(t *testing.T) {
	t.Parallel()
	f, s := newFinder(), &server{}
	for range 2 {
		tried, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)
		assert.Equal(t, []*endpoint.Form{oneA, twoA, twoB, oneB}, tried)
	}
	assert.Len(t, s.asked, 8, "the next call searches again")
	assert.Nil(t, f.Known())
}

func TestAnOpenAnswerEndsTheSearchAndProvesNothing(t *testing.T) {
	t.Parallel()
	f, s := newFinder(), &server{knows: twoA, answer: endpoint.Open}
	tried, err := f.Find(t.Context(), nil, s.try)
	require.NoError(t, err)
	assert.Nil(t, tried)
	assert.Equal(t, []*endpoint.Form{oneA, twoA}, s.asked)
	assert.Nil(t, f.Known())
}

func TestAProvenBaseIsTriedFirst(t *testing.T) {
	t.Parallel()
	base := new(endpoint.Base)
	offers := endpoint.New(base, &endpoint.Form{Base: one}, &endpoint.Form{Base: two})
	_, err := offers.Find(t.Context(), nil, func(f *endpoint.Form) endpoint.Verdict {
		if f.Base == two {
			return endpoint.Proven
		}
		return endpoint.Absent
	})
	require.NoError(t, err)

	conversions, s := endpoint.New(base, oneA, twoA, twoB, oneB), &server{knows: oneB, answer: endpoint.Proven}
	_, err = conversions.Find(t.Context(), nil, s.try)
	require.NoError(t, err)
	assert.Equal(t, []*endpoint.Form{twoA, twoB, oneA, oneB}, s.asked)
}

func TestOneSearchesTheOthersWait(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*server{
		"for a form":  {knows: oneB, answer: endpoint.Proven, slow: time.Second},
		"for nothing": {slow: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFinder()
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						tried, err := f.Find(t.Context(), nil, s.try)
						assert.NoError(t, err)
						if s.knows == nil {
							assert.Len(t, tried, 4)
						}
					})
				}
				wg.Wait()
				if s.knows == nil {
					assert.Len(t, s.asked, 4)
					return
				}
				absent := 0
				for _, form := range s.asked {
					if form != oneB {
						absent++
					}
				}
				assert.Equal(t, 3, absent, "one goroutine alone asked the wrong forms")
				assert.Len(t, s.asked, 3+50)
			})
		})
	}
}

func TestWhoWaitsStillHasItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := newFinder(), &server{knows: oneA, answer: endpoint.Proven, slow: time.Minute}
		go f.Find(t.Context(), nil, s.try) //nolint:errcheck // the one who searches
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := f.Find(ctx, nil, s.try)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "waiting for another call to find the endpoint")
		assert.Equal(t, time.Second, time.Since(start))
		time.Sleep(time.Minute)
	})
}

func TestTheNextSearchesWhenTheFirstLearntNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := newFinder(), &server{knows: oneA, answer: endpoint.Open, slow: time.Second}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { f.Find(t.Context(), nil, s.try) }) //nolint:errcheck // counted below
		}
		start := time.Now()
		wg.Wait()
		assert.Len(t, s.asked, 3)
		assert.Equal(t, 3*time.Second, time.Since(start), "one after the other")
	})
}

func TestALostForm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := newFinder(), &server{knows: oneA, answer: endpoint.Proven}
		_, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)

		// It has moved: the search finds the new place at once.
		s.knows, s.asked = twoB, nil
		tried, err := f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Nil(t, tried)
		assert.Equal(t, []*endpoint.Form{twoA, twoB}, s.asked[len(s.asked)-2:])
		assert.NotContains(t, s.asked, oneA, "the caller has just seen that it is gone")
		assert.Equal(t, twoB, f.Known())

		// Somebody who has yet to notice goes straight to the new place.
		s.asked = nil
		_, err = f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Equal(t, []*endpoint.Form{twoB}, s.asked)

		// Gone again within the minute: no search, and the form stays known.
		s.knows, s.asked = nil, nil
		for range 10 {
			tried, err = f.Find(t.Context(), twoB, s.try)
			require.NoError(t, err)
			assert.Equal(t, []*endpoint.Form{twoB}, tried)
		}
		assert.Empty(t, s.asked)
		assert.Equal(t, twoB, f.Known())

		// A minute later one search is made, in vain.
		time.Sleep(time.Minute)
		for range 10 {
			tried, err = f.Find(t.Context(), twoB, s.try)
			require.NoError(t, err)
			assert.NotEmpty(t, tried)
		}
		assert.Len(t, s.asked, 3)
		assert.Equal(t, twoB, f.Known())

		// A caller who lost a form and then finds the newly known one lost too.
		time.Sleep(time.Minute)
		s.asked = nil
		tried, err = f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Len(t, tried, 4)
	})
}

// A search for a lost form that learnt nothing, say for want of time, is none:
// the next caller may search at once.
func TestASearchThatLearntNothingDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := newFinder(), &server{knows: oneA, answer: endpoint.Proven}
		_, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)
		s.knows, s.answer = twoA, endpoint.Open
		_, err = f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		s.answer = endpoint.Proven
		tried, err := f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Nil(t, tried)
		assert.Equal(t, twoA, f.Known())
	})
}
