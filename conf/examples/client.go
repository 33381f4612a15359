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

type reply struct {
	Vm struct {
		Vm, Stage, Error string
		Blocks           int64
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	var r reply
	ctx, path := context.Background(), "/run/eagersplitd/control.sock"
	if len(os.Args) > 2 {
		path = os.Args[2]
	}
	pid, err := strconv.Atoi(os.Args[1])
	must(err)
	c, err := varlink.NewConnection(ctx, "unix:"+path)
	must(err)
	must(c.Call(ctx, manager+"Register", params{"pid": pid}, &r))
	name := r.Vm.Vm
	must(c.Call(ctx, manager+"SetMigrationState", params{"vm": name, "migration": "scheduled"}, &r))
	next, err := c.Send(ctx, manager+"Watch", params{"vm": name}, varlink.More)
	must(err)
	for r.Vm.Stage != "split" {
		_, err = next(ctx, &r)
		must(err)
		fmt.Printf("%s: %s, %d blocks left\n", name, r.Vm.Stage, r.Vm.Blocks)
		if r.Vm.Stage == "failed" {
			log.Fatal(r.Vm.Error)
		}
	}
}
