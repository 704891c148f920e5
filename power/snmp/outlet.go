package snmp

import (
	"fmt"
	"strconv"
	"strings"
)

// Outlet says which objects of a PDU's MIB belong to one outlet, and what their
// values mean. There are functions for common makes ([APC], [Raritan], ...); any
// other PDU is described with its MIB at hand.
type Outlet struct {
	// Name is what errors call it, such as "APC outlet 4".
	Name string
	// On and Off are written to switch.
	On, Off Command
	// StateOID is the object that tells the state. Empty where there is none:
	// then nothing is verified.
	StateOID string
	// StateOn and StateOff are its values. What is neither, such as a switch that
	// is under way, is asked for again.
	StateOn, StateOff int
}

// Command is an INTEGER that is written to an object.
type Command struct {
	OID   string
	Value int
}

// preset makes the outlet of a make that has one object for commands.
func preset(name string, n int, control string, on, off int, state string, stateOn, stateOff int) Outlet {
	index := "." + strconv.Itoa(n)
	return Outlet{
		Name: fmt.Sprint(name, " outlet ", n),
		On:   Command{control + index, on}, Off: Command{control + index, off},
		StateOID: state + index, StateOn: stateOn, StateOff: stateOff,
	}
}

// APC is outlet n, from 1, of an APC Switched Rack PDU of the first generation
// (AP79xx; PowerNet-MIB rPDUOutletControlOutletCommand and
// rPDUOutletStatusOutletState). Later ones know these objects too.
func APC(n int) Outlet {
	return preset("APC", n, "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4", 1, 2, "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4", 1, 2)
}

// APCRackPDU2 is outlet n, from 1, of an APC Rack PDU of the second generation
// (AP86xx, AP89xx; PowerNet-MIB rPDU2OutletSwitchedControlCommand and
// rPDU2OutletSwitchedStatusState, where 1 is off).
func APCRackPDU2(n int) Outlet {
	return preset("APC", n, "1.3.6.1.4.1.318.1.1.26.9.2.4.1.5", 1, 2, "1.3.6.1.4.1.318.1.1.26.9.2.3.1.5", 2, 1)
}

// APCMasterSwitch is outlet n, from 1, of an APC MasterSwitch (AP92xx; PowerNet-MIB
// sPDUOutletCtl, which tells the state too).
func APCMasterSwitch(n int) Outlet {
	const control = "1.3.6.1.4.1.318.1.1.4.4.2.1.3"
	return preset("APC MasterSwitch", n, control, 1, 2, control, 1, 2)
}

// CyberPower is outlet n, from 1, of a CyberPower switched PDU (CPS-MIB
// ePDUOutletControlOutletCommand and ePDUOutletStatusOutletState).
func CyberPower(n int) Outlet {
	return preset("CyberPower", n, "1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4", 1, 2, "1.3.6.1.4.1.3808.1.1.3.3.5.1.1.4", 1, 2)
}

// Raritan is outlet n, from 1, of a Raritan PX2 or PX3 that is not linked to
// others (PDU2-MIB switchingOperation and outletSwitchingState of PDU 1).
func Raritan(n int) Outlet {
	return preset("Raritan", n, "1.3.6.1.4.1.13742.6.4.1.2.1.2.1", 1, 0, "1.3.6.1.4.1.13742.6.4.1.2.1.3.1", 7, 8)
}

// ServerTech is outlet n, from 1, on the first infeed of the first tower of a
// Server Technology PDU (Sentry3-MIB outletControlAction and outletStatus).
func ServerTech(n int) Outlet {
	return preset("Server Technology", n, "1.3.6.1.4.1.1718.3.2.3.1.11.1.1", 1, 2, "1.3.6.1.4.1.1718.3.2.3.1.5.1.1", 1, 0)
}

// Eaton is outlet n, from 1, of the first unit of an Eaton ePDU G2 or later
// (EATON-EPDU-MIB outletControlOnCmd and outletControlOffCmd, which take a delay
// in seconds, and outletControlStatus).
func Eaton(n int) Outlet {
	const table = "1.3.6.1.4.1.534.6.6.7.6.6.1"
	o := preset("Eaton", n, table+".4.0", 0, 0, table+".2.0", 1, 0)
	o.Off.OID = table + ".3.0." + strconv.Itoa(n)
	return o
}

// validate checks what New was given.
func (o Outlet) validate() error {
	for what, oid := range map[string]string{"on": o.On.OID, "off": o.Off.OID, "the state": o.StateOID} {
		if err := checkOID(oid); err != nil && (what != "the state" || oid != "") {
			return fmt.Errorf("the object for %s: %w", what, err)
		}
	}
	if o.On == o.Off {
		return fmt.Errorf("on and off both write %d to %s", o.On.Value, o.On.OID)
	}
	if o.StateOID != "" && o.StateOn == o.StateOff {
		return fmt.Errorf("the state %d is both on and off", o.StateOn)
	}
	return nil
}

func checkOID(oid string) error {
	arcs := strings.Split(strings.TrimPrefix(oid, "."), ".")
	for _, arc := range arcs {
		if _, err := strconv.ParseUint(arc, 10, 32); err != nil {
			return fmt.Errorf("%q is no numeric object identifier", oid)
		}
	}
	if len(arcs) < 3 {
		return fmt.Errorf("%q is no object identifier of a PDU", oid)
	}
	return nil
}
