package delivery

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// gate decides whether a conversion may be sent. In a pause it lets one conversion
// at a time through, as a probe. A pause of the whole queue or of one offer is in
// the shared state. After a 401 only this process pauses.
type gate struct {
	row   SharedState
	now   func(shared time.Time) time.Time // the queue's clock; shared is the common clock's time, or zero
	retry retry
	api   string // base URL of this process

	mu     sync.Mutex
	own    *pause // after a 401
	streak streak
}

const (
	saidAfter = 3  // failed probes after which a pause is logged
	offersMax = 50 // paused offers; beyond it the oldest pause is dropped
)

// load returns the shared state and the time on the queue's clock.
func (g *gate) load(ctx context.Context) (state, time.Time, error) {
	s, _, shared, err := load(ctx, g.row)
	return s, g.now(shared), err
}

// update changes the shared state.
func (g *gate) update(ctx context.Context, change func(s *state, now time.Time) bool) error {
	return update(ctx, g.row, func(s *state, shared time.Time) bool { return change(s, g.now(shared)) })
}

// foreign reports whether this process calls another API than the queue.
func (g *gate) foreign(s *state) bool { return s.API != "" && s.API != g.api }

// holding returns the pauses that hold all conversions of this process.
func (g *gate) holding(s *state) (all []*pause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.own != nil {
		own := *g.own
		all = append(all, &own)
	}
	if s.Pause != nil {
		all = append(all, s.Pause)
	}
	return all
}

// due returns the paused offers whose probe is due, the longest due first.
func (g *gate) due(s *state, now time.Time) (offers []string) {
	for offer, p := range s.Offers {
		if g.wait(p, now) <= 0 {
			offers = append(offers, offer)
		}
	}
	slices.SortFunc(offers, func(a, b string) int { return int(s.Offers[a].Probe - s.Offers[b].Probe) })
	return offers
}

// forget ends the pause of an offer.
func (g *gate) forget(ctx context.Context, offer string) error {
	return g.update(ctx, func(s *state, _ time.Time) bool {
		_, paused := s.Offers[offer]
		delete(s.Offers, offer)
		return paused
	})
}

// wait returns the time until the next probe. It is zero for a probe that only a
// wrong clock can have set.
func (g *gate) wait(p *pause, now time.Time) time.Duration {
	wait := time.UnixMilli(p.Probe).Sub(now)
	if wait > max(g.retry.min, probeMax)+time.Minute {
		return 0
	}
	return max(wait, 0)
}

// pass lets a conversion be sent.
type pass struct {
	own, queue, offer bool // pauses of which it is the probe
	alone             bool // the last probe was the same conversion
	tidy              bool // a success must change the shared state
}

func (p pass) probe() bool { return p.own || p.queue || p.offer }

// take lets a probe through, unless another process was faster. No other probe is
// sent until the call's time is over.
func (g *gate) take(ctx context.Context, pr *Probe) (p pass, ok bool, err error) {
	key, offer := pr.Entry.Tracking.Key(), pr.Entry.Tracking.Offer
	err = g.update(ctx, func(s *state, now time.Time) bool {
		p, ok = pass{tidy: true}, false
		due := func(one *pause) bool {
			if pr.early && now.Sub(time.UnixMilli(one.Last)) >= g.retry.min && !slices.Contains(one.Tried, offer) {
				return true
			}
			return g.wait(one, now) <= 0
		}
		pauses := g.holding(s)
		if pr.offer != "" {
			one := s.Offers[pr.offer]
			if one == nil || !due(one) || len(pauses) > 0 {
				return false
			}
			p.offer, pauses = true, []*pause{one}
		}
		if len(pauses) == 0 || slices.ContainsFunc(pauses, func(one *pause) bool { return !due(one) }) {
			return false
		}
		p.alone = true
		for _, one := range pauses {
			one.Probe, one.Last = now.Add(callMax).UnixMilli(), now.UnixMilli()
			p.alone = p.alone && one.Key == key
			p.queue = p.queue || one == s.Pause
		}
		g.mu.Lock()
		if p.own = g.own != nil && !p.offer; p.own {
			g.own.Probe = now.Add(callMax).UnixMilli()
		}
		g.mu.Unlock()
		ok = true
		return p.queue || p.offer
	})
	return p, ok && err == nil, err
}

// answered notes an answer about a conversion, and returns the pauses that it
// ends. woken is true if the offer was paused.
func (g *gate) answered(ctx context.Context, p pass, offer string) (ended []*pause, woken bool) {
	g.mu.Lock()
	g.streak = streak{}
	own := g.own
	g.own = nil
	g.mu.Unlock()
	if own != nil {
		ended = append(ended, own)
	}
	if !p.tidy {
		return ended, false
	}
	var common, mark *pause
	err := g.update(ctx, func(s *state, now time.Time) bool {
		common, mark = nil, s.Offers[offer]
		changed := mark != nil || s.Rejected != nil
		delete(s.Offers, offer)
		s.Rejected = nil
		if p.queue && s.Pause != nil {
			common, s.Pause, changed = s.Pause, nil, true
			for _, tried := range common.Tried { // the fault may be theirs
				if tried != offer {
					g.pauseOffer(s, tried, common, now)
				}
			}
		}
		return changed
	})
	if err != nil {
		return ended, false
	}
	for _, one := range []*pause{common, mark} {
		if one != nil {
			ended = append(ended, one)
		}
	}
	return ended, mark != nil
}

// pauseOffer begins the pause of an offer that failed while another offer worked.
func (g *gate) pauseOffer(s *state, offer string, like *pause, now time.Time) {
	if s.Offers == nil {
		s.Offers = make(map[string]*pause)
	}
	if s.Offers[offer] != nil {
		return
	}
	if len(s.Offers) >= offersMax {
		oldest := ""
		for o, one := range s.Offers {
			if oldest == "" || one.Since < s.Offers[oldest].Since {
				oldest = o
			}
		}
		delete(s.Offers, oldest)
	}
	s.Offers[offer] = g.begin(like.Class, like.Reason, now)
}

// event is a change after a failure.
type event struct {
	began *pause // a new pause of the queue or of this process
	said  *pause // a pause to log
	offer bool   // said is the pause of an offer
}

// failed notes a failure of a conversion.
func (g *gate) failed(ctx context.Context, p pass, e outbox.Entry, class, reason string, now time.Time) (ev event) {
	key, offer := e.Tracking.Key(), e.Tracking.Offer
	g.mu.Lock()
	begins := !p.probe() && g.streak.add(e, class)
	offers := g.streak.offers
	switch {
	case p.own && g.own != nil:
		if class == unauthorized {
			g.own.Reason = reason
		}
		g.again(g.own, now, key, offer) // other failures do not concern the key
	case class == unauthorized && g.own == nil: // the key is wrong: no second failure is needed
		g.own = g.begin(class, reason, now)
		g.own.Said = true
		own := *g.own
		ev = event{began: &own, said: &own}
	}
	g.mu.Unlock()

	if !p.queue && !p.offer && !begins && class != unauthorized {
		return ev
	}
	var changed event
	err := g.update(ctx, func(s *state, _ time.Time) bool {
		changed = event{}
		one, of := s.Pause, false
		if p.offer {
			one, of = s.Offers[offer], true
		}
		switch {
		case class == unauthorized:
			s.Rejected = g.begin(class, reason, now)
			if p.queue {
				s.Pause = nil // SparkLoop answers again, and rejects this process's key
			}
		case p.probe() && one != nil:
			one.Class, one.Reason = class, reason
			g.again(one, now, key, offer)
			if one.Step >= saidAfter && !one.Said {
				one.Said = true
				changed = event{said: one, offer: of}
			}
		case begins && s.Pause == nil:
			s.Pause = g.begin(class, reason, now)
			s.Pause.Tried = offers
			changed = event{began: s.Pause}
		default:
			return false
		}
		return true
	})
	if err == nil && (changed.began != nil || changed.said != nil) {
		return changed
	}
	return ev
}

func (g *gate) begin(class, reason string, now time.Time) *pause {
	return &pause{
		Class: class, Reason: reason,
		Since: now.UnixMilli(), Last: now.UnixMilli(), Probe: now.Add(g.retry.probe(0)).UnixMilli(),
	}
}

// again sets the time of the next probe after a failed probe.
func (g *gate) again(p *pause, now time.Time, key, offer string) {
	p.Step++
	p.Key, p.Last = key, now.UnixMilli()
	p.Probe = now.Add(g.retry.probe(p.Step)).UnixMilli()
	p.Tried = remember(p.Tried, offer, triedMax)
}

// remember returns list with text moved to the end, and at most that many texts.
func remember(list []string, text string, most int) []string {
	list = append(slices.DeleteFunc(slices.Clone(list), func(t string) bool { return t == text }), text)
	return list[max(0, len(list)-most):]
}

// streak is the conversions that failed alike, with no success in between.
type streak struct {
	class        string
	keys, offers []string
	weight       int
}

const (
	firstWeight = 5  // of a conversion's first failure
	pauseWeight = 10 // at which the queue pauses: two first failures
)

// add notes a failure and reports whether the queue must pause. A repeated failure
// of the same conversion counts less.
func (s *streak) add(e outbox.Entry, class string) bool {
	if s.class != class {
		*s = streak{class: class}
	}
	if key := e.Tracking.Key(); !slices.Contains(s.keys, key) {
		s.keys = remember(s.keys, key, pauseWeight)
		s.offers = remember(s.offers, e.Tracking.Offer, pauseWeight)
		s.weight++
		if e.Attempts == 0 {
			s.weight += firstWeight - 1
		}
	}
	return s.weight >= pauseWeight
}
