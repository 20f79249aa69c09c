// SPDX-License-Identifier: Apache-2.0

// Package command holds one file for each subcommand of foyer: its flags and
// its wiring.
package command
