// Package hostile holds tests alone: those against a broken network and hostile
// input that need modules which the SDK's own go.mod does not have.
package hostile
