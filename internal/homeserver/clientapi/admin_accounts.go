// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"

	"github.com/foyer-matrix/foyer/internal/homeserver/accounts"
	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

func (a *API) adminAccountRoutes() []httpapi.Route {
	const admin = "/_matrix/client/v1/admin/"
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/admin/whois/{userId}", Auth: httpapi.User, Handler: httpapi.JSON(a.whois)},
		{Method: "GET", Path: admin + "suspend/{userId}", Auth: httpapi.Admin, Handler: httpapi.JSON(a.suspended)},
		{Method: "PUT", Path: admin + "suspend/{userId}", Auth: httpapi.Admin, Handler: httpapi.JSON(a.suspend)},
		{Method: "GET", Path: admin + "lock/{userId}", Auth: httpapi.Admin, Handler: httpapi.JSON(a.locked)},
		{Method: "PUT", Path: admin + "lock/{userId}", Auth: httpapi.Admin, Handler: httpapi.JSON(a.lock)},
	}
}

type adminUserRequest struct {
	UserID event.UserID `path:"userId"`
}

type whoisConnection struct {
	IP        string `json:"ip"`
	LastSeen  int64  `json:"last_seen"`
	UserAgent string `json:"user_agent,omitempty"`
}

type whoisSession struct {
	Connections []whoisConnection `json:"connections"`
}

type whoisDevice struct {
	Sessions []whoisSession `json:"sessions"`
}

type whoisResponse struct {
	UserID  event.UserID           `json:"user_id"`
	Devices map[string]whoisDevice `json:"devices"`
}

// whois tells the user themself and administrators where an account is used.
//
// GET /_matrix/client/v3/admin/whois/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3adminwhoisuserid
func (a *API) whois(ctx context.Context, caller httpapi.Caller, r *adminUserRequest) (*whoisResponse, error) {
	devices, err := a.accounts.Whois(ctx, caller, r.UserID)
	if err != nil {
		return nil, err
	}
	res := &whoisResponse{UserID: r.UserID, Devices: map[string]whoisDevice{}}
	for _, d := range devices {
		last := whoisConnection{IP: d.LastSeenIP, LastSeen: d.LastSeenTS, UserAgent: d.UserAgent}
		res.Devices[d.DeviceID] = whoisDevice{[]whoisSession{{[]whoisConnection{last}}}}
	}
	return res, nil
}

type suspendedResponse struct {
	Suspended bool `json:"suspended"`
}

// suspended says whether an account is suspended.
//
// GET /_matrix/client/v1/admin/suspend/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminsuspenduserid
func (a *API) suspended(ctx context.Context, _ httpapi.Caller, r *adminUserRequest) (*suspendedResponse, error) {
	on, err := a.accounts.Restricted(ctx, r.UserID, accounts.Suspended)
	if err != nil {
		return nil, err
	}
	return &suspendedResponse{on}, nil
}

type suspendRequest struct {
	UserID    event.UserID `path:"userId"`
	Suspended *bool        `json:"suspended"`
}

// Validate wants to be told which.
func (r *suspendRequest) Validate() error {
	if r.Suspended == nil {
		return matrixerr.MissingParam("suspended")
	}
	return nil
}

// suspend suspends an account, or ends that.
//
// PUT /_matrix/client/v1/admin/suspend/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminsuspenduserid
func (a *API) suspend(ctx context.Context, _ httpapi.Caller, r *suspendRequest) (*suspendedResponse, error) {
	if err := a.accounts.Restrict(ctx, r.UserID, accounts.Suspended, *r.Suspended); err != nil {
		return nil, err
	}
	return &suspendedResponse{*r.Suspended}, nil
}

type lockedResponse struct {
	Locked bool `json:"locked"`
}

// locked says whether an account is locked.
//
// GET /_matrix/client/v1/admin/lock/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminlockuserid
func (a *API) locked(ctx context.Context, _ httpapi.Caller, r *adminUserRequest) (*lockedResponse, error) {
	on, err := a.accounts.Restricted(ctx, r.UserID, accounts.Locked)
	if err != nil {
		return nil, err
	}
	return &lockedResponse{on}, nil
}

type lockRequest struct {
	UserID event.UserID `path:"userId"`
	Locked *bool        `json:"locked"`
}

// Validate wants to be told which.
func (r *lockRequest) Validate() error {
	if r.Locked == nil {
		return matrixerr.MissingParam("locked")
	}
	return nil
}

// lock locks an account, or unlocks it.
//
// PUT /_matrix/client/v1/admin/lock/{userId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminlockuserid
func (a *API) lock(ctx context.Context, _ httpapi.Caller, r *lockRequest) (*lockedResponse, error) {
	if err := a.accounts.Restrict(ctx, r.UserID, accounts.Locked, *r.Locked); err != nil {
		return nil, err
	}
	return &lockedResponse{*r.Locked}, nil
}
