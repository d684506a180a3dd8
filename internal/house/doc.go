// Package house keeps the rules of this house as tests: who may import whom,
// what the core may not do, how tests are written. It has no code of its own.
//
// The map and the laws are in laws_test.go, each with its reason. A law whose
// subject is gone fails too, so that none is kept by accident.
package house
