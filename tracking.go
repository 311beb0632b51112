package sparkloop

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/query"
)

// Tracking is a visitor's click on an offer: the two IDs in the landing URL,
// and the time. Read it from the landing page with [TrackingFromRequest], store
// it with the user and the order, and pass it to [ConversionsService.Confirm].
//
// The IDs come from a public URL. Every function of this package validates
// them, and only valid IDs are sent. Two methods keep unreadable text and write
// it back unchanged: [Tracking.Scan] and [Tracking.UnmarshalBinary].
//
// A Tracking can be a column of a table, see [Tracking.Value]. It can be a
// field in JSON, YAML, gob or a form, or metadata of a payment, see
// [Tracking.Metadata]. In a log it is its Key. The zero value means: no
// tracking.
//
// https://docs.sparkloop.app/api-v2/guides/how-to-confirm-action-offers-via-api
type Tracking struct {
	// Offer and Submission are SparkLoop's IDs: 1 to 128 letters, digits,
	// underscores and hyphens. Case matters.
	Offer, Submission string

	// CapturedAt is the time of the click, in UTC and whole seconds. Zero means
	// unknown.
	CapturedAt time.Time

	// Test marks a click from a landing URL with test_mode=true.
	Test bool

	// unread is text that Scan could not read.
	unread string
}

// lifetime is how long after the click SparkLoop accepts a confirmation.
const lifetime = 45 * 24 * time.Hour

// maxUnix is the largest time with eleven digits, in the year 5138.
const maxUnix = 99_999_999_999

const (
	encodingVersion = "v1"
	testSuffix      = "test"
	metadataKey     = "sparkloop_tracking"
)

// ParseTracking reads the two IDs from a landing URL, or from its path and query.
// CapturedAt stays zero. Test is set for test_mode=true.
//
// Landing URLs are often mangled on their way. ParseTracking also reads names in
// any case, and IDs with white space, invisible characters, punctuation or "#..."
// around them. It reads a second "?", ";" and "&" as HTML or JSON escape it ("&amp;",
// "&#38;", "\u0026"), an escaped query, and a query in the path. Of several values
// for one name it ignores empty and malformed ones, and it ignores other
// parameters.
//
// It returns [ErrNoTracking] if one of the two is missing or empty. It returns
// [ErrInvalidTracking] if a value is malformed, or if there are two different valid
// values for one name.
func ParseTracking(rawURL string) (Tracking, error) {
	t, err := fromURL(rawURL)
	if err != nil {
		// The "#" of an escaped "&" begins no fragment.
		if again, ok := fromURL(query.Ampersands(rawURL)); ok == nil {
			return again, nil
		}
		return Tracking{}, fmt.Errorf("sparkloop: landing URL: %w", err)
	}
	return t, nil
}

func fromURL(rawURL string) (Tracking, error) {
	rawURL, _, _ = strings.Cut(rawURL, "#")
	path, rawQuery, _ := strings.Cut(rawURL, "?")
	u := url.URL{Path: path, RawQuery: rawQuery}
	if text, err := url.PathUnescape(path); err == nil {
		u.Path = text
	}
	rawQuery, _ = query.Of(&u)
	return fromQuery(rawQuery)
}

// TrackingFromRequest reads the two IDs from the URL of a landing request, never
// from its body. CapturedAt is now. It reads the same URLs and returns the same
// errors as [ParseTracking].
func TrackingFromRequest(r *http.Request) (Tracking, error) {
	var rawQuery string
	if r != nil && r.URL != nil {
		rawQuery, _ = query.Of(r.URL)
	}
	t, err := fromQuery(rawQuery)
	if err != nil {
		return Tracking{}, fmt.Errorf("sparkloop: landing request: %w", err)
	}
	t.CapturedAt = time.Now().UTC().Truncate(time.Second)
	return t, nil
}

func fromQuery(rawQuery string) (Tracking, error) {
	l := query.Read(rawQuery, nil)
	switch {
	case l.Offer != "" && l.Submission != "":
		return Tracking{Offer: l.Offer, Submission: l.Submission, Test: l.Test}, nil
	case l.Problem != "":
		return Tracking{}, fmt.Errorf("%w: %s", ErrInvalidTracking, l.Problem)
	}
	return Tracking{}, ErrNoTracking
}

// FirstLive returns the first tracking that is valid and not expired, or the
// zero Tracking. Pass the best source first: the user's row, then the cookie. A
// test click is returned only if no real click is live. A tracking without
// CapturedAt does not expire. An unreadable tracking is skipped; use
// [Tracking.Validate] to detect it.
func FirstLive(ts ...Tracking) Tracking {
	now := time.Now()
	var test Tracking
	for _, t := range ts {
		expires := t.ExpiresAt()
		live := !t.IsZero() && t.Validate() == nil && (expires.IsZero() || now.Before(expires))
		switch {
		case live && !t.Test:
			return t
		case live && test.IsZero():
			test = t
		}
	}
	return test
}

// Validate returns nil for the zero Tracking, and [ErrInvalidTracking] for a
// malformed one. The error's text never contains the IDs.
func (t Tracking) Validate() error {
	if t.IsZero() {
		return nil
	}
	if t.unread != "" {
		return fmt.Errorf("%w: a stored text of %d characters cannot be read", ErrInvalidTracking, len(t.unread))
	}
	if err := validateID("offer", t.Offer); err != nil {
		return err
	}
	if err := validateID("submission", t.Submission); err != nil {
		return err
	}
	if unix := t.unix(); unix < 0 || unix > maxUnix {
		return fmt.Errorf("%w: captured in the year %d", ErrInvalidTracking, t.CapturedAt.Year())
	}
	return nil
}

// validateID checks one ID. The kind is "offer" or "submission".
func validateID(kind, id string) error {
	if problem := query.Check(kind, id); problem != "" {
		return fmt.Errorf("%w: %s", ErrInvalidTracking, problem)
	}
	return nil
}

// IsZero reports whether there is no tracking: no IDs, and no unreadable text
// from [Tracking.Scan].
func (t Tracking) IsZero() bool { return t.Offer == "" && t.Submission == "" && t.unread == "" }

// Key identifies the conversion: offer, slash, submission. CapturedAt and Test
// are not part of it.
func (t Tracking) Key() string { return t.Offer + "/" + t.Submission }

// String returns the Key for logs, and "" for the zero Tracking. An invalid
// tracking is shown as "invalid tracking", without its text.
func (t Tracking) String() string {
	switch {
	case t.IsZero():
		return ""
	case t.Validate() != nil:
		return ErrInvalidTracking.Error()
	}
	return t.Key()
}

// LogValue implements [slog.LogValuer] with the text of [Tracking.String].
func (t Tracking) LogValue() slog.Value { return slog.StringValue(t.String()) }

// ExpiresAt is 45 days after CapturedAt, or the zero time if that is unknown.
// From when exactly SparkLoop counts is not documented.
func (t Tracking) ExpiresAt() time.Time {
	if t.CapturedAt.IsZero() {
		return time.Time{}
	}
	return t.CapturedAt.Add(lifetime)
}

// unix returns CapturedAt in seconds, or 0 if unknown.
func (t Tracking) unix() int64 {
	if t.CapturedAt.IsZero() {
		return 0
	}
	return t.CapturedAt.Unix()
}

// captured returns the time for a number of seconds; 0 means unknown.
func captured(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

// Encode returns the tracking as text, "v1.<offer>.<submission>.<unix>", with
// ".test" at the end for a test click. It has at most 277 characters and needs
// no quoting in a cookie, a URL or CSV. It is "" for the zero Tracking and for an
// invalid one.
func (t Tracking) Encode() string {
	if t.IsZero() || t.Validate() != nil {
		return ""
	}
	s := encodingVersion + "." + t.Offer + "." + t.Submission + "." + strconv.FormatInt(t.unix(), 10)
	if t.Test {
		s += "." + testSuffix
	}
	return s
}

// DecodeTracking reads the text that [Tracking.Encode] writes. An empty text
// returns [ErrNoTracking], any other text [ErrInvalidTracking].
func DecodeTracking(s string) (Tracking, error) {
	t, err := decode(s)
	if err != nil {
		return Tracking{}, fmt.Errorf("sparkloop: decode tracking: %w", err)
	}
	return t, nil
}

func decode(s string) (Tracking, error) {
	if s == "" {
		return Tracking{}, ErrNoTracking
	}
	parts := strings.Split(s, ".")
	test := len(parts) == 5 && parts[4] == testSuffix
	if len(parts) != 4 && !test || parts[0] != encodingVersion {
		return Tracking{}, fmt.Errorf("%w: not %s.offer.submission.time", ErrInvalidTracking, encodingVersion)
	}
	unix, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || strconv.FormatInt(unix, 10) != parts[3] {
		return Tracking{}, fmt.Errorf("%w: the time is not a number of seconds", ErrInvalidTracking)
	}
	t := Tracking{Offer: parts[1], Submission: parts[2], CapturedAt: captured(unix), Test: test}
	if t.IsZero() {
		return Tracking{}, fmt.Errorf("%w: both ids are empty", ErrInvalidTracking)
	}
	if err := t.Validate(); err != nil {
		return Tracking{}, err
	}
	return t, nil
}

// MarshalText writes the text of [Tracking.Encode], which is empty for the zero
// Tracking. An invalid tracking returns [ErrInvalidTracking].
func (t Tracking) MarshalText() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("sparkloop: write tracking: %w", err)
	}
	return []byte(t.Encode()), nil
}

// UnmarshalText reads the text that [Tracking.MarshalText] writes. Any other
// text returns [ErrInvalidTracking].
func (t *Tracking) UnmarshalText(text []byte) error {
	var read Tracking
	if len(text) > 0 {
		var err error
		if read, err = DecodeTracking(string(text)); err != nil {
			return err
		}
	}
	*t = read
	return nil
}

// MarshalBinary writes the text of [Tracking.Value], for gob and Redis. An
// invalid tracking returns [ErrInvalidTracking].
func (t Tracking) MarshalBinary() ([]byte, error) {
	value, err := t.Value()
	if err != nil {
		return nil, err
	}
	text, _ := value.(string)
	return []byte(text), nil
}

// UnmarshalBinary reads text as [Tracking.Scan] does.
func (t *Tracking) UnmarshalBinary(data []byte) error { return t.Scan(data) }

// Value returns the text of [Tracking.Encode] for a column, or nil for the zero
// Tracking, which is stored as NULL. The column needs 277 characters. An invalid
// tracking returns [ErrInvalidTracking], except text kept by [Tracking.Scan],
// which is written back unchanged.
func (t Tracking) Value() (driver.Value, error) {
	switch {
	case t.IsZero():
		return nil, nil
	case t.unread != "":
		return t.unread, nil
	}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("sparkloop: store tracking: %w", err)
	}
	return t.Encode(), nil
}

// Scan reads a text column. NULL and an empty text are the zero Tracking. Text
// that cannot be read, from a newer version or damaged, is no error: Scan keeps
// it, [Tracking.Value] writes it back unchanged, and [Tracking.Validate] returns
// [ErrInvalidTracking]. Only a column of another type is an error.
func (t *Tracking) Scan(src any) error {
	var text string
	switch src := src.(type) {
	case nil:
	case string:
		text = src
	case []byte:
		text = string(src)
	default:
		return fmt.Errorf("sparkloop: read tracking: the column holds a %T, not a text", src)
	}
	*t = Tracking{}
	trimmed := strings.TrimRight(text, " ") // a CHAR column pads with spaces
	if trimmed == "" {
		return nil
	}
	decoded, err := DecodeTracking(trimmed)
	if err != nil {
		t.unread = text
		return nil //nolint:nilerr // a text that cannot be read is kept, not refused
	}
	*t = decoded
	return nil
}

// trackingJSON is a tracking's form in JSON.
type trackingJSON struct {
	Offer      string    `json:"offer"`
	Submission string    `json:"submission"`
	CapturedAt time.Time `json:"captured_at,omitzero"`
	Test       bool      `json:"test,omitzero"`
}

// MarshalJSON writes the fields "offer" and "submission", "captured_at" if it is
// known, and "test" if it is true. The zero Tracking has two empty fields; the
// option omitzero omits it. An invalid tracking returns [ErrInvalidTracking].
func (t Tracking) MarshalJSON() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("sparkloop: write tracking: %w", err)
	}
	return json.Marshal(trackingJSON{Offer: t.Offer, Submission: t.Submission, CapturedAt: captured(t.unix()), Test: t.Test && !t.IsZero()})
}

// UnmarshalJSON reads the JSON of [Tracking.MarshalJSON]. null and an object
// without IDs are the zero Tracking. Any other invalid value returns
// [ErrInvalidTracking].
func (t *Tracking) UnmarshalJSON(data []byte) error {
	var in trackingJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("sparkloop: read tracking: %w: not the JSON of a tracking", ErrInvalidTracking)
	}
	read := Tracking{Offer: in.Offer, Submission: in.Submission, CapturedAt: in.CapturedAt, Test: in.Test}
	if read.IsZero() {
		*t = Tracking{}
		return nil
	}
	if err := read.Validate(); err != nil {
		return fmt.Errorf("sparkloop: read tracking: %w", err)
	}
	read.CapturedAt = captured(read.unix())
	*t = read
	return nil
}

// Metadata returns the tracking as payment metadata for Stripe, Paddle and
// similar services: one entry, "sparkloop_tracking". It returns nil for a zero
// or invalid tracking. Stripe copies the metadata of a Checkout Session neither
// to its subscription nor to its payment intent: set the metadata on both.
func (t Tracking) Metadata() map[string]string {
	if s := t.Encode(); s != "" {
		return map[string]string{metadataKey: s}
	}
	return nil
}

// TrackingFromMetadata reads the entry that [Tracking.Metadata] writes, from
// the first map with a valid one. Without a valid entry it returns
// [ErrInvalidTracking] if a map has an invalid entry, and otherwise
// [ErrNoTracking].
func TrackingFromMetadata(m ...map[string]string) (Tracking, error) {
	var bad error
	for _, metadata := range m {
		s := metadata[metadataKey]
		if s == "" {
			continue
		}
		t, err := DecodeTracking(s)
		if err == nil {
			return t, nil
		}
		bad = err
	}
	if bad != nil {
		return Tracking{}, bad
	}
	return Tracking{}, fmt.Errorf("sparkloop: read metadata: %w", ErrNoTracking)
}
