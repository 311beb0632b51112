package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// paid is for a shop whose buyers pay on another site, which then has the
// browser send a form here. That is a POST from another site, so it comes
// without the session and without the tracking cookie: both are SameSite=Lax.
// The form says who has paid, its signature that it is true, and the tracking
// comes from that user's row.
//
// A callback that the payment site's server sends is no different. Either may
// come twice; the payment's id is the order's, so it stays one order.
func (s *shop) paid(w http.ResponseWriter, r *http.Request) {
	payment, email := r.PostFormValue("payment"), r.PostFormValue("email")
	signature, err := hex.DecodeString(r.PostFormValue("signature"))
	if err != nil || payment == "" || !hmac.Equal(signature, sign(s.paymentSecret, payment, email)) {
		http.Error(w, "The signature is wrong.", http.StatusForbidden)
		return
	}
	s.purchase(w, r, payment, email)
}

// sign is what the payment site does, with a secret that both know.
func sign(secret, payment, email string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(payment + "\n" + email))
	return mac.Sum(nil)
}
