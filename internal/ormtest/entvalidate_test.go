package ormtest

import (
	"testing"

	"entgo.io/ent/schema/field"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// ent calls Validate on each field whose type has it, before it stores a row.
// An order without a tracking is valid, whether the field is omitted or zero.
func TestEntValidatesAnOptionalTracking(t *testing.T) {
	t.Parallel()
	desc := field.String("tracking").GoType(sparkloop.Tracking{}).Optional().Descriptor()
	require.NoError(t, desc.Err)
	require.True(t, desc.Optional)
	require.True(t, desc.Info.ValueScanner(), "the column is read and written by Scan and Value")
	require.True(t, desc.Info.Validator(), "ent generates a call of Validate")

	validate := func(v any) error { return v.(field.Validator).Validate() } // as the generated code does
	require.NoError(t, validate(sparkloop.Tracking{}))
	require.NoError(t, validate(sparkloop.Tracking{Offer: "offer_1", Submission: "submission_1"}))
	for _, bad := range []sparkloop.Tracking{{Offer: "offer_1"}, {Submission: "submission_1"}, {Offer: "..", Submission: "s"}} {
		assert.ErrorIs(t, validate(bad), sparkloop.ErrInvalidTracking)
	}
}
