// Package ormtest holds tests alone: that an order and its conversion are one
// transaction, with each library on top of database/sql and each driver.
package ormtest
