package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/sparkloop-go/sparkloop"
)

// store is what the webhook needs of the shop's database.
type store interface {
	// userTracking returns the tracking in the buyer's row: of the user with
	// that reference, or else that customer, or else that email. It is zero if
	// there is no such user or no tracking. Text that cannot be read is no error:
	// Tracking.Scan keeps it.
	userTracking(ctx context.Context, b buyer) (sparkloop.Tracking, error)

	// claim creates the order's row with this tracking, which may be zero. If
	// the row exists, it stays unchanged. claim returns the stored row:
	//
	//	INSERT INTO orders (id, tracking) VALUES ($1, $2) ON CONFLICT DO NOTHING;
	//	SELECT tracking, settled_at IS NOT NULL FROM orders WHERE id = $1
	claim(ctx context.Context, id string, t sparkloop.Tracking) (order, error)

	// settle marks the order's row: its conversion is in the queue, or, if
	// refused is not nil, it is set aside for a person, with the reason. It
	// removes the tracking from the user's row, so that the next click counts:
	//
	//	UPDATE orders SET settled_at = now(), refused = $2 WHERE id = $1;
	//	UPDATE users SET tracking = NULL WHERE tracking = $3
	//
	// The outbox's Source finds conversions after its file was lost. settled_at
	// is the time of payment:
	//
	//	SELECT tracking FROM orders WHERE settled_at >= $1 AND refused IS NULL
	//	AND refunded_at IS NULL AND tracking IS NOT NULL
	settle(ctx context.Context, id string, t sparkloop.Tracking, refused error) error
}

// order is an order's row.
type order struct {
	tracking sparkloop.Tracking
	settled  bool  // the conversion is in the queue, or was set aside
	refused  error // why it was set aside
}

// memory is a store for trying the example. Its data ends with the process.
type memory struct {
	mu     sync.Mutex
	ids    map[string]string             // of the users, by email
	users  map[string]sparkloop.Tracking // by id
	orders map[string]order
}

func newMemory() *memory {
	return &memory{ids: map[string]string{}, users: map[string]sparkloop.Tracking{}, orders: map[string]order{}}
}

// user returns the user with that email, who is created if there is none.
func (m *memory) user(email string) (id string, t sparkloop.Tracking) {
	m.mu.Lock()
	defer m.mu.Unlock()
	email = strings.ToLower(strings.TrimSpace(email))
	id, ok := m.ids[email]
	if !ok {
		id = fmt.Sprintf("user_%d", len(m.ids)+1)
		m.ids[email] = id
	}
	return id, m.users[id]
}

// keep stores the tracking in the user's row.
func (m *memory) keep(id string, t sparkloop.Tracking) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[id] = t
}

// order is the row of an order, if there is one.
func (m *memory) order(id string) (order, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.orders[id]
	return o, ok
}

// userTracking finds no user by Stripe's customer ID: this shop does not store it.
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
