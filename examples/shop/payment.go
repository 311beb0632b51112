package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// paid is for a shop whose buyers pay on another site. That site's page then sends a
// form here. Browsers omit the session and the tracking cookie from a POST of
// another site: both are SameSite=Lax. So the signed form names the user, and the
// tracking is the one in that user's row.
//
// A callback from the payment site's server is handled in the same way. Either may
// come twice: the payment's ID is the order's, so it remains one order.
func (s *shop) paid(w http.ResponseWriter, r *http.Request) {
	payment, email := r.PostFormValue("payment"), r.PostFormValue("email")
	signature, err := hex.DecodeString(r.PostFormValue("signature"))
	if err != nil || payment == "" || !hmac.Equal(signature, sign(s.paymentSecret, payment, email)) {
		http.Error(w, "The signature is wrong.", http.StatusForbidden)
		return
	}
	s.purchase(w, r, payment, email)
}

// sign is the signature of the payment site, with the shared secret.
func sign(secret, payment, email string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(payment + "\n" + email))
	return mac.Sum(nil)
}
