package hostile

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin/binding"
	validation "github.com/go-ozzo/ozzo-validation/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/sparkloop-go/sparkloop"
)

// form is a signup form. gin needs a parser option to use
// encoding.TextUnmarshaler for a struct.
type form struct {
	Email    string             `form:"email" yaml:"email"`
	Tracking sparkloop.Tracking `form:"tracking,parser=encoding.TextUnmarshaler" yaml:"tracking"`
}

var click = sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1", Test: true}

// TestOzzoValidation: ozzo calls Validate on each field. An order without a
// tracking is valid.
func TestOzzoValidation(t *testing.T) {
	t.Parallel()
	check := func(tr sparkloop.Tracking) error {
		f := form{Email: "a@example.com", Tracking: tr}
		return validation.ValidateStruct(&f, validation.Field(&f.Email, validation.Required), validation.Field(&f.Tracking))
	}
	require.NoError(t, check(sparkloop.Tracking{}))
	require.NoError(t, check(click))
	require.Error(t, check(sparkloop.Tracking{Offer: "..", Submission: "s"}))
	require.NoError(t, validation.Validate([]sparkloop.Tracking{{}, click}))
}

func TestGinForm(t *testing.T) {
	t.Parallel()
	bind := func(values url.Values) (f form, err error) {
		r := httptest.NewRequest(http.MethodPost, "/signup", strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return f, binding.Form.Bind(r, &f)
	}
	for text, want := range map[string]sparkloop.Tracking{click.Encode(): click, "": {}} {
		got, err := bind(url.Values{"email": {"a@example.com"}, "tracking": {text}})
		require.NoError(t, err)
		assert.Equal(t, want, got.Tracking)
	}
	got, err := bind(url.Values{"email": {"a@example.com"}})
	require.NoError(t, err)
	assert.Zero(t, got.Tracking)
	_, err = bind(url.Values{"tracking": {"v1.../x.s.1"}})
	require.ErrorIs(t, err, sparkloop.ErrInvalidTracking)
}

func TestYAML(t *testing.T) {
	t.Parallel()
	for _, want := range []sparkloop.Tracking{click, {}} {
		data, err := yaml.Marshal(form{Tracking: want})
		require.NoError(t, err)
		var got form
		require.NoError(t, yaml.Unmarshal(data, &got))
		assert.Equal(t, want, got.Tracking)
	}
	var got form
	require.Error(t, yaml.Unmarshal([]byte("tracking: nonsense"), &got))
	require.NoError(t, yaml.Unmarshal([]byte("tracking: null"), &got))
}
