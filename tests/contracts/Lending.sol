// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

import "Ledger.sol";

/// A lending market: collateral in one token, loans in another. Interest accrues over blocks into one index, so that no
/// position is touched for it. Prices are set by whoever deployed the market.
contract Lending {
    uint256 private constant ONE = 1e18;
    uint256 private constant RATE_PER_SECOND = 1585489599; // about 5 % a year, of ONE
    uint256 private constant LOAN_TO_VALUE = 0.75e18;
    uint256 private constant LIQUIDATION_AT = 0.8e18;
    uint256 private constant BONUS = 1.05e18; // what a liquidator gets for each unit of value repaid

    Ledger public immutable collateral;
    Ledger public immutable asset;
    address public immutable oracle;

    uint256 public price = ONE; // assets that a unit of collateral is worth
    uint128 public index = uint128(ONE); // assets owed for each unit of principal
    uint64 private accruedAt;

    struct Position {
        uint128 collateral;
        uint128 principal;
    }
    mapping(address => Position) public positions;
    uint256 public principalTotal;

    event Deposited(address indexed who, uint256 amount);
    event Withdrawn(address indexed who, uint256 amount);
    event Borrowed(address indexed who, uint256 amount);
    event Repaid(address indexed who, address indexed by, uint256 amount);
    event Liquidated(address indexed who, address indexed by, uint256 repaid, uint256 seized);

    error NotOracle();
    error Unsafe();
    error Safe();
    error TooMuch();
    error TransferFailed();

    constructor(Ledger collateral_, Ledger asset_) {
        collateral = collateral_;
        asset = asset_;
        oracle = msg.sender;
        accruedAt = uint64(block.timestamp);
    }

    function setPrice(uint256 price_) external {
        if (msg.sender != oracle) revert NotOracle();
        price = price_;
    }

    function deposit(uint256 amount) external {
        positions[msg.sender].collateral += narrow(amount);
        take(collateral, amount);
        emit Deposited(msg.sender, amount);
    }

    function withdraw(uint256 amount) external {
        accrue();
        Position storage p = positions[msg.sender];
        if (amount > p.collateral) revert TooMuch();
        p.collateral -= uint128(amount);
        if (!covers(p, LOAN_TO_VALUE)) revert Unsafe();
        give(collateral, amount);
        emit Withdrawn(msg.sender, amount);
    }

    function borrow(uint256 amount) external {
        accrue();
        Position storage p = positions[msg.sender];
        uint256 principal = divideUp(amount * ONE, index);
        p.principal += narrow(principal);
        principalTotal += principal;
        if (!covers(p, LOAN_TO_VALUE)) revert Unsafe();
        give(asset, amount);
        emit Borrowed(msg.sender, amount);
    }

    /// Repays up to amount of the sender's debt; returns what was taken.
    function repay(uint256 amount) external returns (uint256) {
        accrue();
        return settle(msg.sender, amount);
    }

    /// Repays up to amount of who's debt, which must be under water, and takes collateral of that value with a bonus.
    function liquidate(address who, uint256 amount) external returns (uint256 seized) {
        accrue();
        Position storage p = positions[who];
        if (covers(p, LIQUIDATION_AT)) revert Safe();
        uint256 repaid = settle(who, amount);
        seized = (repaid * BONUS) / price;
        if (seized > p.collateral) seized = p.collateral;
        p.collateral -= uint128(seized);
        give(collateral, seized);
        emit Liquidated(who, msg.sender, repaid, seized);
    }

    function debtOf(address who) external view returns (uint256) {
        return divideUp(uint256(positions[who].principal) * grown(), ONE);
    }

    function accrue() private {
        index = narrow(grown());
        accruedAt = uint64(block.timestamp);
    }

    function grown() private view returns (uint256) {
        return uint256(index) + (uint256(index) * RATE_PER_SECOND * (block.timestamp - accruedAt)) / ONE;
    }

    function covers(Position storage p, uint256 share) private view returns (bool) {
        uint256 debt = divideUp(uint256(p.principal) * index, ONE);
        return (((uint256(p.collateral) * price) / ONE) * share) / ONE >= debt;
    }

    function settle(address who, uint256 amount) private returns (uint256) {
        Position storage p = positions[who];
        uint256 debt = divideUp(uint256(p.principal) * index, ONE);
        uint256 principal;
        if (amount >= debt) {
            amount = debt;
            principal = p.principal;
        } else {
            principal = (amount * ONE) / index;
        }
        p.principal -= uint128(principal);
        principalTotal -= principal;
        take(asset, amount);
        emit Repaid(who, msg.sender, amount);
        return amount;
    }

    function take(Ledger token, uint256 amount) private {
        if (!token.transferFrom(msg.sender, address(this), amount)) revert TransferFailed();
    }

    function give(Ledger token, uint256 amount) private {
        if (!token.transfer(msg.sender, amount)) revert TransferFailed();
    }

    function divideUp(uint256 a, uint256 b) private pure returns (uint256) {
        return (a + b - 1) / b;
    }

    function narrow(uint256 x) private pure returns (uint128) {
        if (x > type(uint128).max) revert TooMuch();
        return uint128(x);
    }
}
