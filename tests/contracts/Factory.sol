// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.0;

import "SelfDestruct.sol";

/// Makes SelfDestruct contracts at addresses that depend on a salt alone, so that one can come back where it was.
contract Factory {
    event Deployed(address at, uint256 countBefore, uint256 countAfter);

    function addressOf(bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(type(SelfDestruct).creationCode);
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), salt, code)))));
    }

    /// Fails, by reverting, if there is a contract at that address.
    function deploy(bytes32 salt) public payable returns (SelfDestruct made) {
        made = new SelfDestruct{salt: salt, value: msg.value}();
    }

    /// Deploys, remembers a number; reports the counts around it: 0 and 1 after every wipe.
    function deployAndUse(bytes32 salt, uint256 number) external payable returns (uint256 before, uint256 then) {
        SelfDestruct made = deploy(salt);
        before = made.count();
        made.remember(number);
        then = made.count();
        emit Deployed(address(made), before, then);
    }

    /// Deploys and kills in one transaction: gone afterwards under every fork.
    function flash(bytes32 salt, uint256 number, address payable heir) external payable {
        SelfDestruct made = deploy(salt);
        made.remember(number);
        made.kill(heir);
    }

    /// Kills what lies there and tries to deploy again in the same transaction, which must fail: code stays until the end.
    function killAndRedeploy(bytes32 salt, address payable heir) external returns (bool deployed) {
        SelfDestruct(payable(addressOf(salt))).kill(heir);
        (deployed, ) = address(this).call(abi.encodeCall(this.deploy, (salt)));
    }
}
