// Package ormtest has only tests: an order and its conversion are one
// transaction, with each library on top of database/sql and each driver.
package ormtest
