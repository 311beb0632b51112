package conformance

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// listen stores the arguments of the hooks, and calls the story's own hooks.
func (p *process) listen(o *outbox.Options) {
	confirmed, dead, paused := o.OnConfirmed, o.OnDead, o.OnPaused
	keep := func(list *[]outbox.Entry, hook func(outbox.Entry)) func(outbox.Entry) {
		return func(e outbox.Entry) {
			p.mu.Lock()
			*list = append(*list, e)
			p.mu.Unlock()
			if hook != nil {
				hook(e)
			}
		}
	}
	o.OnConfirmed, o.OnDead = keep(&p.confirmed, confirmed), keep(&p.died, dead)
	o.OnPaused = func(reason error) {
		p.mu.Lock()
		p.paused = append(p.paused, reason)
		p.mu.Unlock()
		if paused != nil {
			paused(reason)
		}
	}
}

// tells waits until the hooks were called for n conversions.
func (p *process) tells(confirmed, died int) {
	p.w.t.Helper()
	p.w.until("the hooks run", func() bool {
		c, d, _ := p.told()
		return len(c) >= confirmed && len(d) >= died
	})
	c, d, _ := p.told()
	assert.Len(p.w.t, c, confirmed)
	assert.Len(p.w.t, d, died)
}

// pauses waits until the process has noticed that the queue pauses.
func (p *process) pauses() {
	p.w.t.Helper()
	p.w.until("the queue pauses", func() bool { _, _, paused := p.told(); return len(paused) > 0 })
}

// told returns the arguments of the hooks so far.
func (p *process) told() (confirmed, died []outbox.Entry, paused []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.confirmed), slices.Clone(p.died), slices.Clone(p.paused)
}

// journal is a process's log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// warnings counts the lines at level Warn that contain all words.
func (j *journal) warnings(words ...string) int {
	n := 0
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, "level=WARN") && containsAll(line, words) {
			n++
		}
	}
	return n
}

// count returns how often the log contains a text.
func (j *journal) count(text string) int { return strings.Count(j.String(), text) }

// has reports whether the log contains all texts.
func (j *journal) has(texts ...string) bool {
	return containsAll(j.String(), texts)
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
