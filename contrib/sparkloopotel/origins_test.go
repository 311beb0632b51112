package sparkloopotel

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/trace"
)

func TestOriginsKeepTheLatest(t *testing.T) {
	t.Parallel()
	o := newOrigins()
	span := func(n int) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{byte(n), byte(n >> 8), 1}})
	}
	for n := range originsMax + 5 {
		o.put(strconv.Itoa(n), span(n))
		o.put(strconv.Itoa(n), span(0)) // the first span stays
	}
	assert.Len(t, o.byKey, originsMax)
	assert.Equal(t, originsMax, o.order.Len())
	for n, kept := range map[int]bool{0: false, 4: false, 5: true, originsMax + 4: true} {
		got, ok := o.get(strconv.Itoa(n))
		assert.Equal(t, kept, ok, n)
		if kept {
			assert.Equal(t, span(n), got)
		}
		o.remove(strconv.Itoa(n))
		_, ok = o.get(strconv.Itoa(n))
		assert.False(t, ok)
	}
	assert.Len(t, o.byKey, originsMax-2)
	assert.Equal(t, originsMax-2, o.order.Len())
}
