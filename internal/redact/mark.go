package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// markSize is the length of a mark in bytes. Two keys share a mark once in
// 65,536 times. Too many keys have the same mark to guess the key from it.
const markSize = 2

// Mark returns a mark of the key of a *sparkloop.Client, or "" for another
// value. The root package sets it, because a method would be public.
var Mark = func(client any, salt string) string { return "" }

func mark(key, salt string) string {
	h := hmac.New(sha256.New, []byte(salt))
	h.Write([]byte(key))
	return hex.EncodeToString(h.Sum(nil)[:markSize])
}
