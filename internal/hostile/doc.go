// Package hostile has only tests: a broken network and hostile input. They need
// modules that are not in the SDK's go.mod.
package hostile
