package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

// message is one of your queue's.
type message struct {
	Body  []byte
	Tries int // how often it was received, this time included
}

// conversion is a message's body: a Tracking marshals itself, and is checked
// when it is read.
type conversion struct {
	Order    string             `json:"order"`
	Tracking sparkloop.Tracking `json:"tracking"`
}

// body is what the shop sends, when the order is committed. It confirms once,
// however often that is: a queue that delivers twice does no harm.
func body(t sparkloop.Tracking) []byte {
	b, err := json.Marshal(conversion{"order-1", t})
	if err != nil {
		panic(err) // an invalid Tracking: the shop has it from capture, which checks
	}
	return b
}

// queue is what a worker does with a message in the end. One of the three, or
// the message comes again by itself.
type queue interface {
	Done(m message) error                       // delete it
	Again(m message, after time.Duration) error // give it back, invisible for so long
	SetAside(m message, reason error) error     // the dead-letter queue
}

// memory stands for your queue, and says what it is told.
type memory struct{ out io.Writer }

func (q *memory) Done(message) error {
	return q.say("   done: confirmed\n")
}

func (q *memory) Again(_ message, after time.Duration) error {
	return q.say("   back into the queue, for %s\n", after)
}

func (q *memory) SetAside(_ message, reason error) error {
	return q.say("   set aside for a person: %v\n", reason)
}

func (q *memory) say(format string, args ...any) error {
	_, err := fmt.Fprintf(q.out, format, args...)
	return err
}
