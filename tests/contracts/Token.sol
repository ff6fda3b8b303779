// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

import "Ledger.sol";

/// An ERC-20 token of fixed supply, all of it holder's at first.
contract Token is Ledger {
    constructor(string memory name_, string memory symbol_, address holder, uint256 amount)
        Ledger(name_, symbol_)
    {
        mintTo(holder, amount);
    }
}
