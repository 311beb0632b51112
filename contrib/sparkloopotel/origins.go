package sparkloopotel

import (
	"container/list"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

const originsMax = 10_000

// origins holds the spans that enqueued the latest conversions, by key.
type origins struct {
	mu    sync.Mutex
	order *list.List // of *origin, oldest first
	byKey map[string]*list.Element
}

type origin struct {
	key  string
	span trace.SpanContext
}

func newOrigins() *origins {
	return &origins{order: list.New(), byKey: make(map[string]*list.Element)}
}

// put stores the first span of a key: a known conversion is not enqueued again.
func (o *origins) put(key string, span trace.SpanContext) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.byKey[key]; known {
		return
	}
	if o.order.Len() == originsMax {
		o.drop(o.order.Front())
	}
	o.byKey[key] = o.order.PushBack(&origin{key, span})
}

func (o *origins) get(key string) (trace.SpanContext, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, ok := o.byKey[key]
	if !ok {
		return trace.SpanContext{}, false
	}
	return e.Value.(*origin).span, true
}

func (o *origins) remove(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.byKey[key]; ok {
		o.drop(e)
	}
}

func (o *origins) drop(e *list.Element) {
	delete(o.byKey, o.order.Remove(e).(*origin).key)
}
