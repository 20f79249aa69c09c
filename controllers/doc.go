// SPDX-License-Identifier: Apache-2.0

// Package controllers holds the reconcilers: one X_controller.go and one
// X_status.go for each kind, and the mechanisms that they share.
//
//   - steps.go runs ordered steps over one scope.
//   - outcome.go has the outcomes of a step as types, and turns the last one
//     into a status patch, Events and a result.
//   - apply.go and compare.go apply what the builders return and prune the rest.
//   - references.go finds the objects that a changed object concerns.
//   - fence.go refuses writes of an operator that is no longer the leader.
//
// A reconciler builds no object by hand: builders live in internal/manifest.
package controllers
