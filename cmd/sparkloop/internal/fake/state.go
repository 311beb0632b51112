package fake

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// file is the content of the state file.
type file struct {
	Fake        int               `json:"sparkloop_fake"` // the format's version
	Offers      []savedOffer      `json:"offers"`
	Submissions []savedSubmission `json:"submissions"`
}

type savedOffer struct {
	ID        string                   `json:"id"`
	Name      string                   `json:"name"`
	Type      sparkloop.ConversionType `json:"type"`
	Landing   string                   `json:"landing"`
	CreatedAt time.Time                `json:"created_at"`
}

type savedSubmission struct {
	Offer       string    `json:"offer"`
	ID          string    `json:"submission"`
	ClickedAt   time.Time `json:"clicked_at"`
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"`
}

// load reads the state file, if it exists.
func (f *Fake) load() error {
	if f.o.State == "" {
		return nil
	}
	data, err := os.ReadFile(f.o.State)
	if errors.Is(err, fs.ErrNotExist) {
		f.save()
		return f.problem
	}
	if err != nil {
		return err
	}
	var kept file
	if err := json.Unmarshal(data, &kept); err != nil || kept.Fake != 1 {
		return fmt.Errorf("%s is not a state file of this command: choose another file with --state", f.o.State)
	}
	have := make(map[string]bool)
	for _, o := range f.api.Offers() {
		have[o.UUID] = true
	}
	for _, o := range kept.Offers {
		if (sparkloop.Tracking{Offer: o.ID, Submission: "s"}).Validate() != nil {
			return fmt.Errorf("%s has an offer with an invalid ID", f.o.State)
		}
		if !have[o.ID] {
			have[o.ID] = true
			f.api.AddOffer(sparkloop.Offer{UUID: o.ID, Name: o.Name, ConversionType: o.Type, RedirectURL: o.Landing, CreatedAt: o.CreatedAt})
		}
	}
	seen := make(map[string]bool)
	for _, s := range kept.Submissions {
		t := sparkloop.Tracking{Offer: s.Offer, Submission: s.ID, CapturedAt: s.ClickedAt}
		if t.Validate() != nil || !have[s.Offer] || seen[s.ID] {
			return fmt.Errorf("%s has a submission that is invalid, duplicate, or of an unknown offer", f.o.State)
		}
		seen[s.ID] = true
		f.api.AddSubmission(sparklooptest.Submission{Tracking: t, ConfirmedAt: s.ConfirmedAt})
	}
	return nil
}

// save writes the state file in one step. The page shows an error.
func (f *Fake) save() {
	if f.o.State == "" {
		return
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	now := file{Fake: 1, Offers: []savedOffer{}, Submissions: []savedSubmission{}}
	for _, o := range f.api.Offers() {
		now.Offers = append(now.Offers, savedOffer{o.UUID, o.Name, o.ConversionType, o.RedirectURL, o.CreatedAt})
	}
	for _, s := range f.api.Submissions() {
		now.Submissions = append(now.Submissions, savedSubmission{s.Tracking.Offer, s.Tracking.Submission, s.Tracking.CapturedAt, s.ConfirmedAt})
	}
	f.problem = write(f.o.State, now)
}

func (f *Fake) saveProblem() error {
	f.saving.Lock()
	defer f.saving.Unlock()
	return f.problem
}

func write(path string, state file) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".sparkloop-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails after the rename, when nothing is left to remove
	_, err = temp.Write(append(data, '\n'))
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// saver saves the state before an answer begins, or before the connection is
// broken.
type saver struct {
	http.ResponseWriter
	save func()
}

func (s *saver) WriteHeader(code int) {
	s.save()
	s.ResponseWriter.WriteHeader(code)
}

func (s *saver) Write(p []byte) (int, error) {
	s.save()
	return s.ResponseWriter.Write(p)
}

// Hijack implements [http.Hijacker].
func (s *saver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	s.save()
	return http.NewResponseController(s.ResponseWriter).Hijack()
}

// Unwrap is for [http.ResponseController].
func (s *saver) Unwrap() http.ResponseWriter { return s.ResponseWriter }
