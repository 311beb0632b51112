package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/sparkloop-go/sparkloop"
)

// store is the part of the shop's database that the webhook works with.
type store interface {
	// userTracking is the tracking in the buyer's row: of the user with that
	// reference, or else that customer, or else that email. It is zero if
	// there is no such user, or no tracking. Never fail for a row whose text
	// cannot be read: Tracking.Scan does not either.
	userTracking(ctx context.Context, b buyer) (sparkloop.Tracking, error)

	// claim makes the order's row, with this tracking or with none, unless
	// there is one already; and returns what is there. The first call decides:
	//
	//	INSERT INTO orders (id, tracking) VALUES ($1, $2) ON CONFLICT DO NOTHING;
	//	SELECT tracking, settled_at IS NOT NULL FROM orders WHERE id = $1
	claim(ctx context.Context, id string, t sparkloop.Tracking) (order, error)

	// settle notes in the order's row that the queue has its conversion, or, if
	// refused is not nil, that it is set aside for a person, with the reason. The
	// tracking leaves the user's row, so that the next click counts:
	//
	//	UPDATE orders SET settled_at = now(), refused = $2 WHERE id = $1;
	//	UPDATE users SET tracking = NULL WHERE tracking = $3
	//
	// A shop with a database gives the outbox a Source as well, for the day when
	// its file is lost:
	//
	//	SELECT tracking FROM orders WHERE settled_at >= $1 AND refused IS NULL
	settle(ctx context.Context, id string, t sparkloop.Tracking, refused error) error
}

// order is an order's row.
type order struct {
	tracking sparkloop.Tracking
	settled  bool  // the conversion is in the queue, or was set aside
	refused  error // why it was set aside
}

// memory is a store for trying things out: it ends with the process.
type memory struct {
	mu     sync.Mutex
	ids    map[string]string             // of the users, by email
	users  map[string]sparkloop.Tracking // by id
	orders map[string]order
}

func newMemory() *memory {
	return &memory{ids: map[string]string{}, users: map[string]sparkloop.Tracking{}, orders: map[string]order{}}
}

// signUp returns the user with that email, who is new or comes back. The row's
// tracking goes before the cookie's, for as long as it lives.
func (m *memory) signUp(email string, cookie sparkloop.Tracking) (id string, t sparkloop.Tracking) {
	m.mu.Lock()
	defer m.mu.Unlock()
	email = strings.ToLower(strings.TrimSpace(email))
	id, ok := m.ids[email]
	if !ok {
		id = fmt.Sprintf("user_%d", len(m.ids)+1)
		m.ids[email] = id
	}
	m.users[id] = sparkloop.FirstLive(m.users[id], cookie)
	return id, m.users[id]
}

// order is the row of an order, if there is one.
func (m *memory) order(id string) (order, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.orders[id]
	return o, ok
}

// This shop does not keep Stripe's ids of customers: the email has to do.
func (m *memory) userTracking(_ context.Context, b buyer) (sparkloop.Tracking, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.users[b.reference]; ok {
		return t, nil
	}
	return m.users[m.ids[strings.ToLower(b.email)]], nil
}

func (m *memory) claim(_ context.Context, id string, t sparkloop.Tracking) (order, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.orders[id]; !ok {
		m.orders[id] = order{tracking: t}
	}
	return m.orders[id], nil
}

func (m *memory) settle(_ context.Context, id string, t sparkloop.Tracking, refused error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders[id] = order{tracking: t, settled: true, refused: refused}
	for user, kept := range m.users {
		if text := t.Encode(); text != "" && kept.Encode() == text {
			delete(m.users, user)
		}
	}
	return nil
}
