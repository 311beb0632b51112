package endpoint_test

import (
	"context"
	"net/url"
	"slices"
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

// server accepts one form and records the forms that were tried.
type server struct {
	mu     sync.Mutex
	knows  *endpoint.Form
	answer endpoint.Verdict // for the accepted form; Proven if not set
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

// After a search that finds nothing, no search begins for a minute. Each call
// tries the first form that was not Absent, or else the first form.
func TestNothingFound(t *testing.T) {
	t.Parallel()
	all := []*endpoint.Form{oneA, twoA, twoB, oneB}
	for name, tt := range map[string]struct {
		other   []*endpoint.Form
		instead *endpoint.Form
		absent  []*endpoint.Form
	}{
		"all absent": {nil, oneA, all},
		"one other":  {[]*endpoint.Form{twoB}, twoB, nil},
		"two others": {[]*endpoint.Form{oneB, twoA}, twoA, nil},
		"all others": {all, oneA, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFinder()
				var asked []*endpoint.Form
				try := func(form *endpoint.Form) endpoint.Verdict {
					asked = append(asked, form)
					if slices.Contains(tt.other, form) {
						return endpoint.Other
					}
					return endpoint.Absent
				}
				for round := range 2 {
					asked = nil
					absent, err := f.Find(t.Context(), nil, try)
					require.NoError(t, err)
					assert.Equal(t, tt.absent, absent, "round %d", round)
					assert.Equal(t, all, asked)
					for range 3 {
						time.Sleep(19 * time.Second)
						asked = nil
						absent, err = f.Find(t.Context(), nil, try)
						require.NoError(t, err)
						assert.Equal(t, tt.absent, absent)
						assert.Equal(t, []*endpoint.Form{tt.instead}, asked)
					}
					assert.Nil(t, f.Known())
					time.Sleep(3 * time.Second)
				}
				// A form may be proven in that minute.
				absent, err := f.Find(t.Context(), nil, try)
				require.NoError(t, err)
				assert.Equal(t, tt.absent, absent)
				absent, err = f.Find(t.Context(), nil, func(*endpoint.Form) endpoint.Verdict { return endpoint.Proven })
				require.NoError(t, err)
				assert.Nil(t, absent)
				assert.Equal(t, tt.instead, f.Known())
			})
		})
	}
}

func TestAnUnclearAnswerEndsTheSearchAndProvesNothing(t *testing.T) {
	t.Parallel()
	f, s := newFinder(), &server{knows: twoA, answer: endpoint.Unclear}
	for range 3 {
		s.asked = nil
		absent, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)
		assert.Nil(t, absent)
		assert.Equal(t, []*endpoint.Form{oneA, twoA}, s.asked, "the next search is not delayed")
		assert.Nil(t, f.Known())
	}
}

// After four consecutive searches that got stuck at a form, the next begin with
// another form.
func TestAFormThatSearchesGetStuckAt(t *testing.T) {
	t.Parallel()
	f, s := newFinder(), &server{knows: oneA, answer: endpoint.Unclear}
	find := func() []*endpoint.Form {
		s.asked = nil
		_, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)
		return s.asked
	}
	for range 3 {
		assert.Equal(t, []*endpoint.Form{oneA}, find())
	}
	s.knows = twoA
	assert.Equal(t, []*endpoint.Form{oneA, twoA}, find(), "stuck elsewhere: the count restarts")
	s.knows = oneA
	for range 4 {
		assert.Equal(t, []*endpoint.Form{oneA}, find())
	}
	for range 2 {
		assert.Equal(t, []*endpoint.Form{twoA, twoB, oneB, oneA}, find())
	}
	s.answer = endpoint.Proven
	assert.Equal(t, []*endpoint.Form{twoA, twoB, oneB, oneA}, find())
	assert.Equal(t, oneA, f.Known())
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
		"for a form":  {knows: oneB, answer: endpoint.Proven, slow: time.Second / 4},
		"for nothing": {slow: time.Second / 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFinder()
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						absent, err := f.Find(t.Context(), nil, s.try)
						assert.NoError(t, err)
						assert.Equal(t, s.knows == nil, len(absent) == 4)
					})
				}
				wg.Wait()
				counts := map[*endpoint.Form]int{}
				for _, form := range s.asked {
					counts[form]++
				}
				if s.knows == nil {
					assert.Equal(t, map[*endpoint.Form]int{oneA: 50, twoA: 1, twoB: 1, oneB: 1}, counts)
					return
				}
				assert.Equal(t, map[*endpoint.Form]int{oneA: 1, twoA: 1, twoB: 1, oneB: 50}, counts, "only one goroutine tried the wrong forms")
			})
		})
	}
}

// No call waits longer than two seconds for a search.
func TestASearchThatHangs(t *testing.T) {
	t.Parallel()
	for name, hanging := range map[string]*endpoint.Form{"at the first form": oneA, "at the second": twoA} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFinder()
				hang := func(form *endpoint.Form) endpoint.Verdict {
					if form == hanging {
						time.Sleep(time.Hour)
						return endpoint.Unclear
					}
					return endpoint.Absent
				}
				searched := make(chan struct{})
				go func() {
					defer close(searched)
					_, err := f.Find(t.Context(), nil, hang)
					assert.NoError(t, err)
				}()
				synctest.Wait()
				var asked []*endpoint.Form
				start := time.Now()
				absent, err := f.Find(t.Context(), nil, func(form *endpoint.Form) endpoint.Verdict {
					asked = append(asked, form)
					return endpoint.Other
				})
				require.NoError(t, err)
				assert.Nil(t, absent)
				assert.Equal(t, []*endpoint.Form{hanging}, asked)
				assert.Equal(t, 2*time.Second, time.Since(start))
				assert.Nil(t, f.Known())
				_, err = f.Find(t.Context(), nil, func(*endpoint.Form) endpoint.Verdict { return endpoint.Proven })
				require.NoError(t, err)
				assert.Equal(t, hanging, f.Known(), "a call outside of the search may prove the form")
				<-searched
				assert.Equal(t, hanging, f.Known())
			})
		})
	}
}

// The searching call also uses a form that another call has proven meanwhile.
func TestAFormIsProvenBesideASearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFinder()
		var asked []*endpoint.Form
		searched := make(chan struct{})
		go func() {
			defer close(searched)
			_, err := f.Find(t.Context(), nil, func(form *endpoint.Form) endpoint.Verdict {
				asked = append(asked, form)
				time.Sleep(3 * time.Second)
				return endpoint.Absent
			})
			assert.NoError(t, err)
		}()
		synctest.Wait()
		_, err := f.Find(t.Context(), nil, func(*endpoint.Form) endpoint.Verdict { return endpoint.Proven })
		require.NoError(t, err)
		<-searched
		assert.Equal(t, []*endpoint.Form{oneA, oneA}, asked)
	})
}

func TestTheOnlyFormIsLost(t *testing.T) {
	t.Parallel()
	f := endpoint.New(new(endpoint.Base), oneA)
	proven := func(*endpoint.Form) endpoint.Verdict { return endpoint.Proven }
	_, err := f.Find(t.Context(), nil, proven)
	require.NoError(t, err)
	absent, err := f.Find(t.Context(), oneA, proven)
	require.NoError(t, err)
	assert.Equal(t, []*endpoint.Form{oneA}, absent)
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
		f, s := newFinder(), &server{knows: oneA, answer: endpoint.Unclear, slow: time.Second}
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

		// The endpoint has moved: the search finds the new form at once.
		s.knows, s.asked = twoB, nil
		tried, err := f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Nil(t, tried)
		assert.Equal(t, []*endpoint.Form{twoA, twoB}, s.asked[len(s.asked)-2:])
		assert.NotContains(t, s.asked, oneA, "the caller's own request was Absent")
		assert.Equal(t, twoB, f.Known())

		// A caller with the old form uses the new form at once.
		s.asked = nil
		_, err = f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Equal(t, []*endpoint.Form{twoB}, s.asked)

		// Lost again within the minute: no search, and the form stays known.
		s.knows, s.asked = nil, nil
		for range 10 {
			tried, err = f.Find(t.Context(), twoB, s.try)
			require.NoError(t, err)
			assert.Equal(t, []*endpoint.Form{twoB}, tried)
		}
		assert.Empty(t, s.asked)
		assert.Equal(t, twoB, f.Known())

		// A minute later one search finds nothing.
		time.Sleep(time.Minute)
		for range 10 {
			tried, err = f.Find(t.Context(), twoB, s.try)
			require.NoError(t, err)
			assert.NotEmpty(t, tried)
		}
		assert.Len(t, s.asked, 3)
		assert.Equal(t, twoB, f.Known())

		// A caller lost a form, and then the newly known form is lost too.
		time.Sleep(time.Minute)
		s.asked = nil
		tried, err = f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Len(t, tried, 4)
	})
}

// A search for a lost form that ended Unclear does not count: the next caller
// may search at once.
func TestASearchThatLearntNothingDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := newFinder(), &server{knows: oneA, answer: endpoint.Proven}
		_, err := f.Find(t.Context(), nil, s.try)
		require.NoError(t, err)
		s.knows, s.answer = twoA, endpoint.Unclear
		_, err = f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		s.answer = endpoint.Proven
		tried, err := f.Find(t.Context(), oneA, s.try)
		require.NoError(t, err)
		assert.Nil(t, tried)
		assert.Equal(t, twoA, f.Known())
	})
}
