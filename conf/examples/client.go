// SPDX-License-Identifier: GPL-2.0-or-later

// client PID [SOCKET]: prepares the VM of a VMM's process for live migration, and waits until
// it is split. The library is golang-github-varlink-go-dev, github.com/varlink/go to modules.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/varlink/go/varlink"
)

const manager = "org.eagersplit.Manager."

type params map[string]interface{}

type vm struct {
	Vm, Stage, Error string
	Pid, Blocks      int64
}

type reply struct {
	Vm  vm
	Vms []vm // of ListVms
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// The name of the process's VM. The daemon finds VMs by itself; whoever tries again finds it
// registered, too.
func name(ctx context.Context, c *varlink.Connection, pid int64) string {
	var r reply
	must(c.Call(ctx, manager+"ListVms", nil, &r))
	for _, vm := range r.Vms {
		if vm.Pid == pid {
			return vm.Vm
		}
	}
	must(c.Call(ctx, manager+"Register", params{"pid": pid}, &r))
	return r.Vm.Vm
}

func main() {
	var r reply
	if len(os.Args) < 2 {
		log.Fatal("usage: client PID [SOCKET]")
	}
	ctx, path := context.Background(), "/run/eagersplitd/control.sock"
	if len(os.Args) > 2 {
		path = os.Args[2]
	}
	pid, err := strconv.ParseInt(os.Args[1], 10, 32)
	must(err)
	c, err := varlink.NewConnection(ctx, "unix:"+path)
	must(err)
	name := name(ctx, c, pid)
	must(c.Call(ctx, manager+"SetMigrationState", params{"vm": name, "migration": "scheduled"}, &r))
	next, err := c.Send(ctx, manager+"Watch", params{"vm": name}, varlink.More)
	must(err)
	for {
		_, err = next(ctx, &r)
		must(err)
		fmt.Printf("%s: %s, %d blocks left\n", name, r.Vm.Stage, r.Vm.Blocks)
		switch r.Vm.Stage {
		case "split":
			return
		case "failed":
			log.Fatal(r.Vm.Error)
		}
	}
}
