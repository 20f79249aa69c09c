// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

func (a *API) deviceRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "GET", Path: "/_matrix/client/v3/devices", Auth: httpapi.User, Handler: httpapi.JSON(a.devices)},
		{Method: "GET", Path: "/_matrix/client/v3/devices/{deviceId}", Auth: httpapi.User, Handler: httpapi.JSON(a.device)},
		{Method: "PUT", Path: "/_matrix/client/v3/devices/{deviceId}", Auth: httpapi.User, Handler: httpapi.JSON(a.renameDevice)},
		{Method: "DELETE", Path: "/_matrix/client/v3/devices/{deviceId}", Auth: httpapi.User, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.deleteDevice)},
		{Method: "POST", Path: "/_matrix/client/v3/delete_devices", Auth: httpapi.User, MaxBody: maxAuthBody, Handler: httpapi.JSON(a.deleteDevices)},
	}
}

type deviceResponse struct {
	DeviceID    string `json:"device_id"`
	DisplayName string `json:"display_name,omitempty"`
	LastSeenIP  string `json:"last_seen_ip,omitempty"`
	LastSeenTS  int64  `json:"last_seen_ts,omitempty"`
}

func newDeviceResponse(d store.Device) deviceResponse {
	return deviceResponse{DeviceID: d.DeviceID, DisplayName: d.DisplayName, LastSeenIP: d.LastSeenIP, LastSeenTS: d.LastSeenTS}
}

type devicesResponse struct {
	Devices []deviceResponse `json:"devices"`
}

// devices lists the caller's devices.
//
// GET /_matrix/client/v3/devices
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devices
func (a *API) devices(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*devicesResponse, error) {
	list, err := a.accounts.Devices(ctx, caller.UserID)
	if err != nil {
		return nil, err
	}
	res := &devicesResponse{Devices: make([]deviceResponse, len(list))}
	for i, d := range list {
		res.Devices[i] = newDeviceResponse(d)
	}
	return res, nil
}

type deviceRequest struct {
	DeviceID string `path:"deviceId"`
}

// device returns one of the caller's devices.
//
// GET /_matrix/client/v3/devices/{deviceId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devicesdeviceid
func (a *API) device(ctx context.Context, caller httpapi.Caller, r *deviceRequest) (*deviceResponse, error) {
	d, err := a.accounts.Device(ctx, caller.UserID, r.DeviceID)
	if err != nil {
		return nil, err
	}
	res := newDeviceResponse(d)
	return &res, nil
}

type renameDeviceRequest struct {
	DeviceID    string  `path:"deviceId"`
	DisplayName *string `json:"display_name"`
}

// renameDevice sets the display name of one of the caller's devices.
//
// PUT /_matrix/client/v3/devices/{deviceId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3devicesdeviceid
func (a *API) renameDevice(ctx context.Context, caller httpapi.Caller, r *renameDeviceRequest) (*httpapi.Empty, error) {
	return nil, a.accounts.RenameDevice(ctx, caller.UserID, r.DeviceID, r.DisplayName)
}

type deleteDeviceRequest struct {
	DeviceID string          `path:"deviceId"`
	Auth     json.RawMessage `json:"auth"`
}

// deleteDevice deletes one of the caller's devices.
//
// DELETE /_matrix/client/v3/devices/{deviceId}
// https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3devicesdeviceid
func (a *API) deleteDevice(ctx context.Context, caller httpapi.Caller, r *deleteDeviceRequest) (*httpapi.Empty, error) {
	return nil, a.confirmDeletion(ctx, caller, []string{r.DeviceID}, r.Auth)
}

type deleteDevicesRequest struct {
	Devices []string        `json:"devices" required:"true"`
	Auth    json.RawMessage `json:"auth"`
}

// deleteDevices deletes several of the caller's devices.
//
// POST /_matrix/client/v3/delete_devices
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3delete_devices
func (a *API) deleteDevices(ctx context.Context, caller httpapi.Caller, r *deleteDevicesRequest) (*httpapi.Empty, error) {
	return nil, a.confirmDeletion(ctx, caller, r.Devices, r.Auth)
}

// confirmDeletion deletes devices once the caller has confirmed these very devices.
func (a *API) confirmDeletion(ctx context.Context, caller httpapi.Caller, devices []string, auth json.RawMessage) error {
	operation := "delete_devices " + strings.Join(slices.Sorted(slices.Values(devices)), "\x00")
	if err := a.accounts.Confirm(ctx, caller.UserID, operation, auth); err != nil {
		return err
	}
	return a.accounts.DeleteDevices(ctx, caller.UserID, devices)
}
